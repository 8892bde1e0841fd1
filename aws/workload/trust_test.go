package workload_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/workload"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

// side is a service that accepts the tokens of a fake issuer.
type side struct {
	*regionjwt.Validator
	idp *issuertest.Server
}

func newSide(t *testing.T, alg string, who workload.Trust) *side {
	t.Helper()
	policy, err := who.Policy(audience)
	require.NoError(t, err)
	idp := issuertest.New(t, policy.Provider, issuertest.Config{Algorithm: alg, Audience: audience})
	policy.Provider = idp.Provider()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{policy}})
	require.NoError(t, err)
	return &side{v, idp}
}

// issue returns a token with claims of a role's, some of which are replaced.
func (s *side) issue(claims map[string]any, of map[string]any) string {
	set := map[string]any{"aws_account": account, "org_id": organization, "source_region": west}
	maps.Copy(set, of)
	all := map[string]any{namespace: set, "sub": role}
	maps.Copy(all, claims)
	return s.idp.Issue(s.idp.Provider().Regions[0].Name, issuertest.Claims{ExpiresIn: 5 * time.Minute, Set: all})
}

// The tokens of a source verify, whichever Region has issued them and with both algorithms, and name the role and the Region.
func TestTheTokensOfASourceVerify(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES384", "RS256"} {
		synctest.Test(t, func(t *testing.T) {
			who := trust
			who.Organization, who.Roles = organization, []string{role}
			v := newSide(t, alg, who)
			f := newFake(t)
			f.idp = v.idp
			s := f.sourceOf(workload.Config{Audiences: []string{audience}, Algorithm: alg}, f.client(east), f.client(west))
			for _, region := range []string{east, west} {
				if region == west {
					f.set(east, silent)
					time.Sleep(5 * time.Minute)
				}
				raw := have(t, s, region, 200*time.Millisecond)
				token, err := v.Verify(t.Context(), raw.Value())
				require.NoError(t, err)
				id, ok := workload.IdentityOf(token)
				require.True(t, ok)
				require.Equal(t, workload.Identity{Account: account, Organization: organization, Role: role, Region: region}, id)
				require.Equal(t, token.Expiry().Unix(), raw.Expiry().Unix())
			}
			time.Sleep(settle)
		})
	}
}

// Only the roles of the account, the organization and the list are accepted, whatever tags a caller has chosen.
func TestOnlyTheTrustedAreAccepted(t *testing.T) {
	t.Parallel()
	who := trust
	who.Organization, who.Roles = organization, []string{role, "arn:aws:iam::" + account + ":role/second"}
	v := newSide(t, "ES384", who)
	wanted := map[string]any{"aws_account": account, "org_id": organization}
	for name, c := range map[string]struct {
		claims, of map[string]any
		category   error
	}{
		"role":               {nil, nil, nil},
		"second role":        {map[string]any{"sub": who.Roles[1]}, nil, nil},
		"several audiences":  {map[string]any{"aud": []string{"x", audience}}, nil, nil},
		"lists as seen":      {nil, map[string]any{"ou_path": []string{"o/r/ou"}, "principal_id": "AROA"}, nil},
		"another role":       {map[string]any{"sub": role + "2"}, nil, verifier.ErrForbidden},
		"its path":           {map[string]any{"sub": "arn:aws:iam::" + account + ":role/worker"}, nil, verifier.ErrForbidden},
		"case":               {map[string]any{"sub": "arn:aws:iam::" + account + ":role/Orders/worker"}, nil, verifier.ErrForbidden},
		"organization":       {nil, map[string]any{"org_id": "o-zzzzzzzzzz"}, verifier.ErrForbidden},
		"no organization":    {nil, map[string]any{"org_id": nil}, verifier.ErrForbidden},
		"organizations":      {nil, map[string]any{"org_id": []string{organization}}, verifier.ErrForbidden},
		"tags":               {nil, map[string]any{"org_id": "o-zzzzzzzzzz", "request_tags": wanted}, verifier.ErrForbidden},
		"tags of a role":     {nil, map[string]any{"org_id": nil, "principal_tags": wanted}, verifier.ErrForbidden},
		"outside":            {map[string]any{"org_id": organization}, map[string]any{"org_id": nil}, verifier.ErrForbidden},
		"account in tags":    {nil, map[string]any{"aws_account": "210987654321", "request_tags": wanted}, verifier.ErrInvalid},
		"user":               {map[string]any{"sub": "arn:aws:iam::" + account + ":user/x"}, nil, verifier.ErrInvalid},
		"role of another":    {map[string]any{"sub": "arn:aws:iam::210987654321:role/orders/worker"}, nil, verifier.ErrInvalid},
		"another audience":   {map[string]any{"aud": "https://other.example.com"}, nil, verifier.ErrInvalid},
		"issuer with a path": {map[string]any{"iss": issuerURL + "/"}, nil, verifier.ErrInvalid},
		"issuer in capitals": {map[string]any{"iss": "https://3F9C2A10-0000-4000-8000-000000000001.tokens.sts.global.api.aws"}, nil, verifier.ErrInvalid},
		"issuer of another":  {map[string]any{"iss": "https://3f9c2a10-0000-4000-8000-000000000002.tokens.sts.global.api.aws"}, nil, verifier.ErrInvalid},
		"issued long ago":    {map[string]any{"iat": time.Now().Add(-2 * time.Hour).Unix()}, nil, verifier.ErrInvalid},
	} {
		token, err := v.Verify(t.Context(), v.issue(c.claims, c.of))
		if c.category == nil {
			require.NoError(t, err, name)
			_, ok := workload.IdentityOf(token)
			require.True(t, ok, name)
			continue
		}
		require.ErrorIs(t, err, c.category, name)
	}
}

// Without Organization and Roles, every role of the account is accepted.
func TestTheAccountAloneIsEnough(t *testing.T) {
	t.Parallel()
	v := newSide(t, "ES384", trust)
	token, err := v.Verify(t.Context(), v.issue(map[string]any{"sub": role + "2"}, map[string]any{"org_id": nil}))
	require.NoError(t, err)
	id, ok := workload.IdentityOf(token)
	require.True(t, ok)
	require.Equal(t, workload.Identity{Account: account, Role: role + "2", Region: west}, id)
}

// A token of another provider has no identity, whatever it says.
func TestOnlyATokenOfAWSHasAnIdentity(t *testing.T) {
	t.Parallel()
	_, ok := workload.IdentityOf(nil)
	require.False(t, ok)
	_, ok = workload.IdentityOf(&verifier.Token{})
	require.False(t, ok)

	policy, err := trust.Policy(audience)
	require.NoError(t, err)
	for _, id := range []string{"shop", "aws/", "aws/210987654321", account} {
		policy.Provider.ID = id
		idp := issuertest.New(t, policy.Provider, issuertest.Config{Algorithm: "ES384", Audience: audience})
		policy.Provider = idp.Provider()
		v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{policy}})
		require.NoError(t, err)
		token, err := v.Verify(t.Context(), (&side{v, idp}).issue(nil, nil))
		require.NoError(t, err)
		_, ok := workload.IdentityOf(token)
		require.False(t, ok, id)
	}
}

// A Trust that means nobody, or somebody else, is no Policy.
func TestATrustThatCannotBeMet(t *testing.T) {
	t.Parallel()
	_, err := workload.Trust{
		Account: "123", Organization: "a1b2c3d4e5",
		Roles: []string{"", "worker", "arn:aws:iam::" + account + ":user/x", "arn:aws:sts::" + account + ":assumed-role/worker/session", role},
	}.Policy(audience)
	for _, part := range []string{
		"Account does not have 12 digits", `Organization "a1b2c3d4e5" is not`, `Roles: "" is not`, `Roles: "worker" is not`,
		`user/x" is not the ARN of a role`, `session" is not the ARN of a role`, `orders/worker" is not a role of the account`,
	} {
		require.ErrorContains(t, err, part)
	}
	roles := []string{role}
	who := trust
	who.Roles = roles
	policy, err := who.Policy(audience)
	require.NoError(t, err)
	roles[0] = role + "2"
	require.ErrorIs(t, policy.Check(t.Context(), &verifier.Token{}), verifier.ErrForbidden)
	v := newSide(t, "ES384", workload.Trust{Issuer: issuerURL, Account: account, Roles: []string{role}})
	token, err := v.Verify(t.Context(), v.issue(nil, nil))
	require.NoError(t, err)
	require.NoError(t, policy.Check(t.Context(), token), "the list was copied")
}
