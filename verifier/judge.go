package verifier

import "slices"

// audienceVerdict is what an AudiencePolicy says of a token.
type audienceVerdict struct {
	reason Reason // "" if it is accepted
	detail string // the claim that decided

	access, id bool // it is accepted as an access token, as an ID token, or as either

	client bool // a part accepts it as an ID token: its aud names clients
	named  bool // a policy has accepted its aud
	open   bool // it is one of Cognito with an aud, which a policy beside must accept
}

// audienceInput is what an AudiencePolicy looks at.
type audienceInput struct {
	*claims
	typ   string // of the header
	marks tokenMarks
	types bool // typ is one of Policy.Types, which are for ID tokens alone
}

// checkAudience returns what the policy of an iss says of a token.
func (e *issuerEntry) checkAudience(typ string, c *claims) audienceVerdict {
	if c.conflict != "" {
		return audienceVerdict{reason: ReasonBadAudience, detail: c.conflict + ", see Policy.ClientIDClaims"}
	}
	if reason, detail := e.checkAWS(c); reason != "" {
		return audienceVerdict{reason: reason, detail: detail}
	}
	v := e.Audience.judge(&audienceInput{claims: c, typ: typ, marks: e.marks, types: e.typesOfID})
	if v.reason == "" && v.open {
		return audienceVerdict{reason: ReasonBadAudience, detail: "aud"}
	}
	return v
}

func (a *AudiencePolicy) judge(in *audienceInput) audienceVerdict {
	switch a.kind {
	case audAnyOf:
		return a.judgeAny(in)
	case audAllOf:
		return a.judgeAll(in)
	default:
	}
	var v audienceVerdict
	v.access, v.id = a.kinds()
	v.client = v.id && !v.access
	if v.reason, v.detail = a.checkKind(in); v.reason != "" {
		return v
	}
	switch a.kind {
	case audAPI:
		if v.named = in.audience.holdsOne(a.allowed); !v.named {
			v.reason, v.detail = ReasonBadAudience, "aud"
		}
	case audCognitoAccess:
		v.open = in.audience.present
		v.reason, v.detail = a.checkCognitoAccess(in.claims)
	case audCognitoDerived:
		v.named = true
		if v.reason, v.detail = a.checkCognitoAccess(in.claims); v.reason == "" && !in.audience.is(a.derived) {
			v.reason, v.detail = ReasonBadAudience, "aud"
		}
	case audCognitoID:
		v.named = true
		v.reason, v.detail = a.checkCognitoID(in.claims)
	case audIDToken:
		v.named = true
		v.reason, v.detail = a.checkIDToken(in.claims)
	case audAny:
		v.named = true
	default:
		v.reason, v.detail = ReasonBadAudience, "aud" // New accepts none of these
	}
	return v
}

// judgeAll accepts what every part accepts, as a token of one and the same kind.
func (a *AudiencePolicy) judgeAll(in *audienceInput) audienceVerdict {
	all := audienceVerdict{access: true, id: true}
	for i := range a.parts {
		v := a.parts[i].judge(in)
		if v.reason != "" {
			return v
		}
		all.access, all.id, all.client = all.access && v.access, all.id && v.id, all.client || v.client
		all.named, all.open = all.named || v.named, all.open || v.open
	}
	if len(a.parts) == 0 || !all.access && !all.id { // New accepts none without parts
		return audienceVerdict{reason: ReasonBadAudience, detail: "aud"}
	}
	all.open = all.open && !all.named
	return all
}

// judgeAny accepts what one of the parts accepts. Otherwise it says why one rejects the token that is for tokens of its kind, if
// there is such a part.
func (a *AudiencePolicy) judgeAny(in *audienceInput) audienceVerdict {
	accepted := false
	some, rejected := audienceVerdict{open: true}, audienceVerdict{reason: ReasonBadAudience, detail: "aud"}
	for i := range a.parts {
		switch v := a.parts[i].judge(in); {
		case v.reason == "":
			accepted = true
			some.access, some.id, some.client = some.access || v.access, some.id || v.id, some.client || v.client
			some.named, some.open = some.named || v.named, some.open && v.open
		case i == 0, closeness(v) > closeness(rejected):
			rejected = v
		}
	}
	if !accepted {
		return rejected
	}
	return some
}

// closeness tells how much of a policy a token that was rejected has met: it is of another kind, for somebody else, or misses a
// claim.
func closeness(v audienceVerdict) int {
	switch {
	case v.reason == ReasonMissingClaim:
		return 2
	case slices.Contains([]string{"token_use", "events", "at_hash", "typ", "nonce"}, v.detail):
		return 0
	}
	return 1
}

func (a *AudiencePolicy) checkCognitoAccess(c *claims) (Reason, string) {
	switch {
	case c.use != "access":
		return ReasonBadAudience, "token_use"
	case !a.anyClient() && !slices.Contains(a.allowed, c.clientID):
		return ReasonBadAudience, "client_id"
	}
	return "", ""
}

func (a *AudiencePolicy) checkCognitoID(c *claims) (Reason, string) {
	switch {
	case c.use != "id":
		return ReasonBadAudience, "token_use"
	case !c.audience.holdsOne(a.allowed) && (!a.anyClient() || len(c.audience.values) == 0):
		return ReasonBadAudience, "aud"
	}
	return "", ""
}

func (a *AudiencePolicy) checkIDToken(c *claims) (Reason, string) {
	switch {
	case !c.audience.holdsOnly(a.allowed):
		return ReasonBadAudience, "aud"
	case (c.azpPresent || len(c.audience.values) > 1) && !slices.Contains(a.allowed, c.azp):
		return ReasonBadAudience, "azp"
	case c.subject == "":
		return ReasonMissingClaim, "sub"
	case c.iat.IsZero():
		return ReasonMissingClaim, "iat"
	}
	return "", ""
}
