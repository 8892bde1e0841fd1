package verifier_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// Tokens of AWS STS are accepted from roles of one account, and from nobody else.
func TestAWSPolicy(t *testing.T) {
	t.Parallel()
	const account, namespace = "123456789012", "https://sts.amazonaws.com/"
	s := newScene(t, 1)
	s.policy = verifier.AWS(sceneIssuer, account, "orders")
	require.Equal(t, []string{"ES384", "RS256"}, s.policy.Algorithms)
	s.policy.Algorithms = []string{"ES256"} // of the test's key
	of := func(sub string, more set) set {
		return set{"aud": []string{"orders"}, "sub": sub, namespace: more}
	}
	role := "arn:aws:iam::" + account + ":role/path/orders"
	own := set{"aws_account": account, "source_region": "eu-west-1", "principal_tags": set{"team": "a"}}
	for name, c := range map[string]struct {
		claims set
		want   string
		detail string
	}{
		"role":              {of(role, own), "", ""},
		"user":              {of("arn:aws:iam::"+account+":user/alice", own), "bad_audience", "sub"},
		"root":              {of("arn:aws:iam::"+account+":root", own), "bad_audience", "sub"},
		"session":           {of("arn:aws:sts::"+account+":assumed-role/orders/x", own), "bad_audience", "sub"},
		"role of another":   {of("arn:aws:iam::210987654321:role/orders", own), "bad_audience", "sub"},
		"role in China":     {of("arn:aws-cn:iam::"+account+":role/orders", own), "bad_audience", "sub"},
		"no name":           {of("arn:aws:iam::"+account+":role/", own), "bad_audience", "sub"},
		"no sub":            {set{"aud": "orders", "sub": nil, namespace: own}, "bad_audience", "sub"},
		"another account":   {of(role, set{"aws_account": "210987654321"}), "bad_audience", namespace},
		"account a number":  {of(role, set{"aws_account": int64(123456789012)}), "bad_audience", namespace},
		"no account":        {of(role, set{}), "bad_audience", namespace},
		"account elsewhere": {set{"aud": "orders", "sub": role, "aws_account": account}, "bad_audience", namespace},
		"another audience":  {set{"aud": "x", "sub": role, namespace: own}, "bad_audience", "aud"},
		"no iat":            {set{"aud": "orders", "sub": role, namespace: own, "iat": nil}, "missing_claim", "iat"},
	} {
		_, err := s.verify(s.sign(0, nil, c.claims))
		require.Equal(t, c.want, reasonOf(t, errOf(err)), name)
		if err != nil {
			require.Equal(t, c.detail, err.Detail, name)
		}
	}
	keys, err := jwks.NewStatic(map[string][]byte{sceneIssuer: s.keySet()})
	require.NoError(t, err)
	for _, wrong := range []string{"", "12345678901", "1234567890123", "12345678901x"} {
		_, err := verifier.New([]verifier.Policy{verifier.AWS(sceneIssuer, wrong, "orders")}, keys, verifier.Config{})
		require.ErrorContains(t, err, "an account has 12 digits", wrong)
	}
	_, err = verifier.New([]verifier.Policy{verifier.AWS("", account)}, keys, verifier.Config{})
	require.ErrorContains(t, err, "empty")
	require.ErrorContains(t, err, "there is no audience")
}
