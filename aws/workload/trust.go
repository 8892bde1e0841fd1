package workload

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/verifier"
)

const namespace = "https://sts.amazonaws.com/"

var (
	accountPattern      = regexp.MustCompile(`^[0-9]{12}$`)
	organizationPattern = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
	rolePattern         = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:role/([!-~]*/)?[A-Za-z0-9+=,.@_-]+$`)
)

// Trust says which workloads of one AWS account a service accepts.
type Trust struct {
	// Issuer is the iss of the account's tokens, https://{UUID}.tokens.sts.global.api.aws, as "aws iam
	// get-outbound-web-identity-federation-info" prints it. It is compared byte for byte, and says nothing about the number of
	// the account.
	Issuer string

	// Account is the number of the account: 12 digits. It is required, and must be the one in the token and in the role's ARN.
	Account string

	// Organization is the organization that the account must belong to, such as o-a1b2c3d4e5. "" means any, or none.
	Organization string

	// Roles are the ARNs of the accepted roles, with their paths: arn:aws:iam::123456789012:role/orders/worker. None means every
	// role of the account, also those of users who sign in with IAM Identity Center (role/aws-reserved/sso.amazonaws.com/...).
	Roles []string
}

// Policy returns the Policy for tokens that name one of the audiences: that of verifier.AWS, with a Check of the Organization and
// the Roles. A genuine token of another organization or role is rejected with verifier.ErrForbidden. Call that Check from your
// own one if you need more. The tags that a caller has chosen (request_tags) have no effect.
//
// The error is every problem with t, joined. verifier.New reports those of the Issuer and the audiences.
func (t Trust) Policy(audiences ...string) (verifier.Policy, error) {
	var errs []error
	if !accountPattern.MatchString(t.Account) {
		errs = append(errs, errors.New("workload: Account does not have 12 digits"))
	}
	if t.Organization != "" && !organizationPattern.MatchString(t.Organization) {
		errs = append(errs, fmt.Errorf("workload: Organization %q is not the ID of an organization", t.Organization))
	}
	for _, role := range t.Roles {
		switch {
		case !rolePattern.MatchString(role):
			errs = append(errs, fmt.Errorf("workload: Roles: %q is not the ARN of a role", role))
		case !strings.HasPrefix(role, rolesOf(t.Account)):
			errs = append(errs, fmt.Errorf("workload: Roles: %q is not a role of the account", role))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return verifier.Policy{}, err
	}
	p := verifier.AWS(t.Issuer, t.Account, audiences...)
	t.Roles = slices.Clone(t.Roles)
	p.Check = t.check
	return p, nil
}

var (
	errOrganization = fmt.Errorf("%w: the caller is not of the organization", verifier.ErrForbidden)
	errRole         = fmt.Errorf("%w: the caller has another role", verifier.ErrForbidden)
)

// check is that of the Policy, which has checked the account.
func (t Trust) check(_ context.Context, token *verifier.Token) error {
	if t.Organization != "" && organization(token) != t.Organization {
		return errOrganization
	}
	if len(t.Roles) > 0 && !slices.Contains(t.Roles, token.Subject()) {
		return errRole
	}
	return nil
}

// Identity is what AWS says about a workload. Each field is "" if the token does not say it.
type Identity struct {
	// Account is the number of the account.
	Account string
	// Organization is the ID of the organization, if the account belongs to one.
	Organization string
	// Role is the ARN of the role. The session of the role is in no claim that AWS documents.
	Role string
	// Region is the Region in which the token was issued.
	Region string
}

// IdentityOf returns the identity in a token that was accepted by a Policy of a Trust, or of verifier.AWS, with the Provider.ID
// of that Policy. For any other token, ok is false. It is safe for concurrent use.
func IdentityOf(token *verifier.Token) (id Identity, ok bool) {
	if token == nil {
		return Identity{}, false
	}
	account, named := strings.CutPrefix(token.Provider(), "aws/")
	if !named || !accountPattern.MatchString(account) || !strings.HasPrefix(token.Subject(), rolesOf(account)) {
		return Identity{}, false
	}
	region, _ := claims(token)["source_region"].(string)
	return Identity{Account: account, Organization: organization(token), Role: token.Subject(), Region: region}, true
}

func rolesOf(account string) string { return "arn:aws:iam::" + account + ":role/" }

func organization(token *verifier.Token) string {
	id, _ := claims(token)["org_id"].(string)
	return id
}

// claims returns what AWS says about the caller.
func claims(token *verifier.Token) map[string]any {
	all, _ := token.Claim(namespace).(map[string]any)
	return all
}
