package verifier

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/issuer"
)

// awsClaims is the claim that holds what AWS says about the caller.
const awsClaims = "https://sts.amazonaws.com/"

var accountPattern = regexp.MustCompile(`^[0-9]{12}$`)

// AWS returns a Policy for the tokens with which IAM roles of one AWS account identify themselves to services outside of AWS
// (GetWebIdentityToken of AWS STS). issuerURL is that of the account, https://{UUID}.tokens.sts.global.api.aws, as "aws iam
// get-outbound-web-identity-federation-info" prints it; account is the account's number. Beside what the fields of the Policy
// say, the token must name the account, and its sub must be the ARN of a role in it. The tags of a request are chosen by the
// caller: do not use them to tell who it is.
//
// Fields of the Policy may be changed. The ID of the Provider is "aws/" and the account. AWS does not fail: New reports every
// problem.
func AWS(issuerURL, account string, audience ...string) Policy {
	p := Policy{
		Provider: issuer.OIDC(issuerURL), Audience: Audience(audience...), MaxAge: time.Hour,
		Algorithms: []string{"ES384", "RS256"},
		aws:        true, account: account,
	}
	p.Provider.ID = "aws/" + account
	return p
}

// validateAWS returns the problem with the account of an AWS policy.
func (p *Policy) validateAWS() error {
	if p.aws && !accountPattern.MatchString(p.account) {
		return errors.New("AWS: an account has 12 digits")
	}
	return nil
}

// checkAWS checks that a role of the account is the caller.
func (p *Policy) checkAWS(c *claims) (Reason, string) {
	if !p.aws {
		return "", ""
	}
	var account strictjson.Value
	for m := range strictjson.Find(c.members, awsClaims).Members() {
		if m.Name == "aws_account" {
			account = m.Value
		}
	}
	role, ok := strings.CutPrefix(c.subject, "arn:aws:iam::"+p.account+":role/")
	switch {
	case !account.Is(p.account):
		return ReasonBadAudience, awsClaims
	case !ok || role == "":
		return ReasonBadAudience, "sub"
	}
	return "", ""
}
