package main

import "github.com/regionjwt/regionjwt/verifier"

// stage is a check of a verifier, in the order in which it makes them.
type stage int

const (
	stageSize stage = iota
	stageForm
	stageIssuer
	stageHeader
	stageTime
	stageBinding
	stageKey
	stageSignature
	stageClaims
	stageRules
	stageDone
)

var stageNames = [...]string{
	stageSize: "size", stageForm: "form", stageIssuer: "issuer", stageHeader: "alg, typ", stageTime: "time",
	stageBinding: "for whom", stageKey: "key", stageSignature: "signature", stageClaims: "claims", stageRules: "revocation",
}

// check is what one of the checks has found.
type check struct {
	Name   string `json:"name"`
	Result string `json:"result"` // passed, refused, cannot_tell, not_checked
}

const passed = "passed"

// stageOf says which check refused a token. One Reason may come of several checks: whether the authority was known, and whether
// keys were asked for, tells them apart.
func stageOf(e *verifier.Error, keys *watchedKeys) stage {
	if e == nil {
		return stageDone
	}
	switch e.Reason {
	case verifier.ReasonTooLarge:
		return stageSize
	case verifier.ReasonUnknownIssuer:
		return stageIssuer
	case verifier.ReasonMalformed, verifier.ReasonTypNotAllowed, verifier.ReasonAlgNotAllowed:
		switch {
		case keys.answered:
			return stageSignature
		case e.Provider != "":
			return stageHeader
		}
		return stageForm
	case verifier.ReasonExpired, verifier.ReasonNotYetValid:
		return stageTime
	case verifier.ReasonBadTokenUse, verifier.ReasonBadAudience:
		return stageBinding
	case verifier.ReasonUnknownKey, verifier.ReasonKeyNotAllowed:
		return stageKey
	case verifier.ReasonKeysUnavailable, verifier.ReasonUnknownKeyRateLimited:
		if keys.answered { // the signature fits no key, and a region that may have another one is dark
			return stageSignature
		}
		return stageKey
	case verifier.ReasonBadSignature:
		return stageSignature
	case verifier.ReasonMissingClaim, verifier.ReasonTooOld:
		if keys.answered {
			return stageClaims
		}
		return stageBinding
	case verifier.ReasonRevoked, verifier.ReasonRulesUnavailable:
		return stageRules
	default:
		return stageForm
	}
}

// checksUpTo lists all checks, of which those before at were passed. Without rules to ask, that one was not made.
func checksUpTo(at stage, verdict string, rules bool) []check {
	checks := make([]check, 0, len(stageNames))
	for s, name := range stageNames {
		one := check{Name: name, Result: notChecked}
		switch {
		case stage(s) == stageRules && !rules:
		case stage(s) == stageRules && at == stageDone && verdict == cannotTell:
			one.Result = cannotTell
		case stage(s) < at:
			one.Result = passed
		case stage(s) == at && verdict != notRefused:
			one.Result = verdict
		}
		checks = append(checks, one)
	}
	return checks
}
