package inspect

import (
	"slices"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/verifier"
)

// stage is a check of a verifier, in the order in which it makes them.
type stage int

const (
	stageSize stage = iota
	stageForm
	stageHeader
	stageTypes
	stageIssuer
	stageAlg
	stageTyp
	stageTime
	stageAudience
	stageKey
	stageSignature
	stageClaims
	stageRules
	stageDone
)

var stageNames = [...]string{
	stageSize: "size", stageForm: "form", stageHeader: "header", stageTypes: "claim types", stageIssuer: "issuer",
	stageAlg: "alg", stageTyp: "typ", stageTime: "time", stageAudience: "audience", stageKey: "key", stageSignature: "signature",
	stageClaims: "claims", stageRules: "revocation",
}

// check is what one of the checks has found.
type check struct {
	Name   string `json:"name"`
	Result string `json:"result"` // passed, rejected, cannot_tell, not_checked
	Wanted string `json:"wanted,omitempty"`
	Found  string `json:"found,omitempty"`
}

const (
	passed           = "passed"
	rulesUnavailable = "rules_unavailable"
)

// byReason says which check gives a reason. Those that are not here depend on how far the verifier has got: see stageOf.
var byReason = map[string]stage{
	"unknown_issuer": stageIssuer, "alg_not_allowed": stageAlg, "typ_not_allowed": stageTyp, "expired": stageTime,
	"not_yet_valid": stageTime, "bad_audience": stageAudience, "unknown_key": stageKey, "key_not_allowed": stageKey,
	"bad_signature": stageSignature, "missing_claim": stageClaims, "too_old": stageClaims, "revoked": stageRules,
	rulesUnavailable: stageRules,
}

// stageOf says which check rejected a token.
func (j *judgement) stageOf(e *verifier.Error) stage {
	if e == nil {
		return stageDone
	}
	switch label := labelOf(e); label {
	case "malformed":
		return j.malformedStage(e)
	case "keys_unavailable", "unknown_key_rate_limited":
		if j.keys.answered { // the signature fits no key, and a region that may have another one is unavailable
			return stageSignature
		}
		return stageKey
	case "missing_claim":
		if !j.keys.answered { // of an ID token, which needs some before its key is looked up
			return stageAudience
		}
		return stageClaims
	default:
		at, ok := byReason[label]
		if !ok {
			return stageForm
		}
		return at
	}
}

// detailSize is the detail of a token that is too long.
const detailSize = "size"

// detailActor is the detail of a token whose actor cannot be read.
const detailActor = "act"

// headerNames are the details of a malformed token whose header is at fault.
var headerNames = []string{
	"alg", "kid", "typ", "crit", "b64", "enc", "zip", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256",
}

// malformedStage tells a token that is none from one with a header parameter or a claim of the wrong type, by what the error
// names.
func (j *judgement) malformedStage(e *verifier.Error) stage {
	switch {
	case e.Detail == detailSize && e.Provider == "":
		return stageSize
	case j.report.header == nil && j.report.claims == nil, e.Detail == "":
		return stageForm
	case e.Detail == detailActor:
		return stageClaims
	case (e.Provider == "" || e.Detail == "kid") && slices.Contains(headerNames, e.Detail):
		return stageHeader
	}
	return stageTypes
}

// checks lists all checks, of which those before at were passed. Without rules to ask, that one was not made. The types of the
// claims that every token has are checked before its issuer, those of the claims that a policy names after it.
func (j *judgement) checks(at stage, e *verifier.Error, wanted, found string) []check {
	checks := make([]check, 0, len(stageNames))
	for i, name := range stageNames {
		s, verdict := stage(i), j.report.Verdict
		one := check{Name: name, Result: notChecked}
		switch {
		case s == stageRules && j.rules.list == nil:
		case s == stageRules && at == stageDone && verdict == cannotTell:
			one.Result, one.Wanted, one.Found = cannotTell, wanted, found
		case s == stageIssuer && at == stageTypes && e != nil && e.Provider != "":
			one.Result = passed
		case s < at:
			one.Result = passed
		case s == at && verdict != notRejected:
			one.Result, one.Wanted, one.Found = verdict, wanted, found
		}
		checks = append(checks, one)
	}
	return checks
}

// members finds a value of a header or of claims.
type members = []strictjson.Member
