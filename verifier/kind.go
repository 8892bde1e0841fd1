package verifier

import (
	"net/url"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/internal/tokenkinds"
	"github.com/regionjwt/regionjwt/issuer"
)

// tokenMarks say by what a provider tells its access tokens from its ID tokens, beside what is certain for every provider.
type tokenMarks int

const (
	noMarks       tokenMarks = iota
	keycloakMarks            // the claim typ names the kind
	entraMarks               // ID tokens may have a nonce, access tokens never have one
)

// keycloakKeys is the path of a key set of Keycloak.
const keycloakKeys = "/protocol/openid-connect/certs"

// entraHosts are the hosts of the issuers of version 2.0 of Microsoft Entra, in its clouds.
var entraHosts = []string{
	"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
}

// marksOf tells by its iss and its JWKS URLs how a provider marks its tokens.
func marksOf(iss string, r *issuer.Region) tokenMarks {
	u, err := url.Parse(iss)
	switch {
	case err == nil && slices.Contains(entraHosts, u.Host) && strings.HasSuffix(u.Path, "/v2.0"):
		return entraMarks
	case err == nil && strings.Contains(u.Path, "/realms/"),
		slices.ContainsFunc(r.JWKSURLs, func(keys string) bool { return strings.HasSuffix(keys, keycloakKeys) }):
		return keycloakMarks
	}
	return noMarks
}

// ofCognito reports whether iss is that of a user pool of Amazon Cognito.
func ofCognito(iss string) bool {
	u, err := url.Parse(iss)
	return err == nil && (strings.HasPrefix(u.Host, "cognito-idp.") || strings.HasPrefix(u.Host, "issuer-cognito-idp."))
}

// The values of the typ claim of Keycloak. Other providers may use the claim for something else, so others are ignored.
var (
	keycloakAccess = []string{"Bearer", "DPoP"}
	keycloakID     = []string{"ID"}
	keycloakOther  = []string{"Refresh", "Offline", "Logout"}
)

// checkKind checks whether the token is of the right kind, by what is certain: an ID token is no access token, and a JWT of a
// third kind is neither. If the typ of the header is not one of access tokens, Policy.Types lists it, and the caller wants
// that kind of token.
func (a *AudiencePolicy) checkKind(in *audienceInput) (Reason, string) {
	access, id := a.kinds()
	if slices.Contains(accessTypes, in.typ) {
		switch {
		case in.events: // a security event token or a logout token
			return ReasonBadAudience, "events"
		case in.hashes && !id:
			return ReasonBadAudience, "at_hash"
		case in.typ == "at+jwt" && !access && !in.types: // an access token (RFC 9068 section 2.1)
			return ReasonTypNotAllowed, "typ"
		}
	}
	if in.use == "id" && !id || in.use == "access" && !access { // of Amazon Cognito
		return ReasonBadAudience, "token_use"
	}
	switch in.marks {
	case keycloakMarks:
		typ := strictjson.Find(in.members, "typ").Text()
		if !access && slices.Contains(keycloakAccess, typ) || !id && slices.Contains(keycloakID, typ) ||
			slices.Contains(keycloakOther, typ) {
			return ReasonBadAudience, "typ"
		}
	case entraMarks:
		if !id && strictjson.Find(in.members, "nonce").Kind() != strictjson.Absent {
			return ReasonBadAudience, "nonce"
		}
	case noMarks:
	}
	return "", ""
}

// Texts about policies that cannot tell the kinds of tokens apart.
const (
	idForAccess = `an ID token passes for an access token if its aud, a client ID, is an audience of the API: give the API an ` +
		`identifier of its own, such as a URL, or list only "at+jwt" in Types`
	accessForID = `an access token passes for an ID token if its aud is one of the clients and its type is not "at+jwt": ` +
		`require a claim that only ID tokens have, such as "at_hash", in RequiredClaims`
)

var _ = tokenkinds.Provide(tokenkinds.Kinds{
	Unclear: func(policy any) []string {
		p, _ := policy.(Policy)
		return p.unclear()
	},
	Unmet: func(policy any) string {
		p, _ := policy.(Policy)
		return p.unmet()
	},
})

// unmet says why most tokens of the provider are rejected under p, or "".
func (p *Policy) unmet() string {
	for _, r := range p.Provider.Regions {
		if slices.ContainsFunc(r.Issuers, ofCognito) && p.Audience.onlyAPI() {
			return "access tokens of a Cognito user pool have no aud, unless they were requested with a resource (RFC 8707): " +
				"use CognitoAccess with the IDs of the app clients, and for tokens with an aud " +
				"AllOf(CognitoAccess(...), Audience(...))"
		}
	}
	return ""
}

// onlyAPI reports whether a consists of nothing but Audience.
func (a *AudiencePolicy) onlyAPI() bool {
	combined := a.kind == audAnyOf || a.kind == audAllOf
	other := func(part AudiencePolicy) bool { return !part.onlyAPI() }
	return a.kind == audAPI || combined && !slices.ContainsFunc(a.parts, other)
}

// unclear says which kind of token may pass for the other under p. For Cognito token_use decides, for Keycloak and Entra what
// they say in other claims.
func (p *Policy) unclear() (texts []string) {
	for i := range p.Provider.Regions {
		r := &p.Provider.Regions[i]
		for _, iss := range r.Issuers {
			if marksOf(iss, r) != noMarks || ofCognito(iss) {
				return nil
			}
		}
	}
	general := len(p.Types) == 0
	for _, typ := range p.Types {
		general = general || slices.Contains(idTypes, mediaType(typ))
	}
	if p.Audience.cognito() || !general {
		return nil
	}
	if p.Audience.mayBeClient() {
		texts = append(texts, idForAccess)
	}
	if p.Audience.any(func(k audienceKind) bool { return k == audIDToken }) &&
		!slices.ContainsFunc(p.RequiredClaims, func(name string) bool { return name == "at_hash" || name == "c_hash" }) {
		texts = append(texts, accessForID)
	}
	return texts
}

// mayBeClient reports whether a value of an Audience may be the ID of a client: it is no URI.
func (a *AudiencePolicy) mayBeClient() bool {
	return a.kind == audAPI && slices.ContainsFunc(a.allowed, func(aud string) bool { return !strings.Contains(aud, ":") }) ||
		slices.ContainsFunc(a.parts, func(part AudiencePolicy) bool { return part.mayBeClient() })
}
