package regionjwt_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// The policies of docs/providers.md, as they stand there: see TestDocumentShowsTheRecipes.

func keycloakRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider:       issuer.OIDC("https://idp.example.com/realms/shop"),
		Audience:       verifier.Audience("orders"),
		ClientIDClaims: []string{"azp"},
		GroupClaims:    []string{"/realm_access/roles", "/resource_access/my.api/roles"}, // of the realm and of a client, together
	}
	return trust
}

func entraRecipe() verifier.Policy {
	base := "https://login.microsoftonline.com/8f6a1c1e-0000-4000-8000-000000000001"
	trust := verifier.Policy{
		Provider: issuer.Provider{ID: "entra/8f6a1c1e-0000-4000-8000-000000000001", Regions: []issuer.Region{{
			Name: "global", Issuers: []string{base + "/v2.0"}, JWKSURLs: []string{base + "/discovery/v2.0/keys"},
		}}},
		Audience:       verifier.Audience("0f1e2d3c-0000-4000-8000-00000000000a"), // the application ID of the API
		Algorithms:     []string{"RS256"},
		ClientIDClaims: []string{"azp", "appid"}, GroupClaims: []string{"roles"},
	}
	return trust
}

func oktaRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Provider{ID: "workforce", Regions: []issuer.Region{{
			Name: "okta", Issuers: []string{"https://example.okta.com/oauth2/default"},
			JWKSURLs: []string{"https://example.okta.com/oauth2/default/v1/keys"},
		}}},
		Audience:       verifier.Audience("api://default"),
		ClientIDClaims: []string{"cid"},
	}
	return trust
}

func auth0Recipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Provider{ID: "shop", Regions: []issuer.Region{{
			Name:    "eu",
			Issuers: []string{"https://login.example.com/", "https://shop.eu.auth0.com/"}, // custom domain and tenant
			JWKSURLs: []string{
				"https://login.example.com/.well-known/jwks.json", "https://shop.eu.auth0.com/.well-known/jwks.json",
			},
		}}},
		Audience:       verifier.Audience("https://api.example.com"),
		ClientIDClaims: []string{"azp", "client_id"},
		GroupClaims:    []string{"permissions"},
	}
	return trust
}

func googleRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Provider{ID: "google", Regions: []issuer.Region{{
			Name: "global", Issuers: []string{"https://accounts.google.com", "accounts.google.com"},
			JWKSURLs: []string{"https://www.googleapis.com/oauth2/v3/certs"},
		}}},
		Audience:       verifier.IDToken("1234-web.apps.googleusercontent.com"),
		RequiredClaims: []string{"email"},
	}
	return trust
}

func githubRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Provider{ID: "github-actions", Regions: []issuer.Region{{
			Name: "global", Issuers: []string{"https://token.actions.githubusercontent.com"},
			JWKSURLs: []string{"https://token.actions.githubusercontent.com/.well-known/jwks"},
		}}},
		Audience: verifier.Audience("https://deploy.example.com"),
		Check: func(_ context.Context, t *verifier.Token) error {
			if t.Claim("repository_owner_id") != "65" || t.Claim("ref") != "refs/heads/main" {
				return errors.New("not the main branch of a repository of ours")
			}
			return nil
		},
	}
	return trust
}

func springRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Provider{ID: "spring", Regions: []issuer.Region{{
			Name: "eu", Issuers: []string{"https://auth.example.com"}, JWKSURLs: []string{"https://auth.example.com/oauth2/jwks"},
		}}},
		Audience: verifier.Audience("https://api.example.com"), // set by an OAuth2TokenCustomizer; the default is the client ID
	}
	return trust
}

func adfsRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Provider{ID: "adfs", Regions: []issuer.Region{{
			Name: "dc", Issuers: []string{"http://adfs.example.com/adfs/services/trust"}, // of access tokens; a name, not dialled
			JWKSURLs: []string{"https://adfs.example.com/adfs/discovery/keys"},
		}}},
		Audience:       verifier.Audience("https://api.example.com"),
		Algorithms:     []string{"RS256"},
		ClientIDClaims: []string{"appid"},
	}
	return trust
}

func clusterRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Kubernetes("https://kubernetes.default.svc.cluster.local", "", "", ""),
		Audience: verifier.Audience("orders"), // of a projected token
	}
	return trust
}

func awsRecipe() verifier.Policy {
	trust := verifier.AWS("https://3f9c2a10-0000-4000-8000-000000000001.tokens.sts.global.api.aws", "123456789012", "https://api.example.com")
	return trust
}

func cognitoRecipe() verifier.Policy {
	trust := verifier.Policy{
		Provider: issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"),
		Audience: verifier.AnyOf(verifier.CognitoAccess("7abc0example1client2id"), verifier.CognitoID("7abc0example1client2id")),
	}
	return trust
}

type shape = map[string]any

// recipes has, for each policy, a token in the shape of the provider that is accepted, and some that differ from it and are not.
var recipes = map[string]struct {
	policy   func() verifier.Policy
	header   shape // nil removes
	claims   shape
	scopes   []string
	groups   []string
	client   string
	rejected []shape
}{
	"Keycloak": {
		policy: keycloakRecipe, client: "web", scopes: []string{"openid", "orders"}, groups: []string{"user", "reader"},
		claims: shape{
			"aud": []string{"orders", "account"}, "typ": "Bearer", "azp": "web", "sid": "s", "acr": "1", "allowed-origins": []string{"*"},
			"realm_access": shape{"roles": []string{"user"}}, "scope": "openid orders", "client_id": nil,
			"resource_access": shape{"my.api": shape{"roles": []string{"reader"}}, "account": shape{"roles": []string{"manage"}}},
		},
		rejected: []shape{
			{"aud": "orders", "typ": "ID"}, {"typ": "Refresh"}, {"aud": "account"}, {"aud": "orders", "at_hash": "x"},
		},
	},
	"Entra": {
		policy: entraRecipe, client: "7c1d", scopes: []string{"Orders.Read"}, groups: []string{"Admin"},
		header: shape{"x5t": "x"},
		claims: shape{
			"aud": "0f1e2d3c-0000-4000-8000-00000000000a", "aio": "x", "azp": "7c1d", "azpacr": "1", "oid": "o", "tid": "8f6a", "uti": "u",
			"scp": "Orders.Read", "roles": []string{"Admin"}, "ver": "2.0", "scope": nil, "client_id": nil,
		},
		rejected: []shape{{"nonce": "n"}, {"aud": "other"}, {"azp": "a", "appid": "b"}},
	},
	"Okta": {
		policy: oktaRecipe, client: "0oa1", scopes: []string{"openid", "orders"},
		claims: shape{
			"ver": 1, "aud": "api://default", "cid": "0oa1", "uid": "00u1", "scp": []string{"openid", "orders"}, "auth_time": 1, "scope": nil,
			"client_id": nil,
		},
		rejected: []shape{{"aud": "0oa1", "at_hash": "x"}, {"scp": []string{"openid orders"}}},
	},
	"Auth0": {
		policy: auth0Recipe, client: "cli", scopes: []string{"openid", "read:orders"}, groups: []string{"read:orders"},
		claims: shape{
			"aud": []string{"https://api.example.com", "https://shop.eu.auth0.com/userinfo"}, "azp": "cli", "client_id": nil,
			"scope": "openid read:orders", "permissions": []string{"read:orders"},
		},
		rejected: []shape{{"aud": "cli"}, {"iss": "https://login.example.com"}, {"client_id": "other"}},
	},
	"Google": {
		policy: googleRecipe,
		claims: shape{
			"iss": "accounts.google.com", "aud": "1234-web.apps.googleusercontent.com", "azp": "1234-web.apps.googleusercontent.com",
			"email": "a@example.com", "email_verified": true, "hd": "example.com", "at_hash": "x", "scope": nil, "client_id": nil,
		},
		rejected: []shape{{"azp": "other"}, {"aud": "other"}, {"iss": "https://accounts.google.com/"}, {"email": nil}},
	},
	"GitHub Actions": {
		policy: githubRecipe, header: shape{"typ": "JWT", "x5t": "x"},
		claims: shape{
			"aud": "https://deploy.example.com", "sub": "repo:octo/orders:ref:refs/heads/main", "repository_owner_id": "65", "ref": "refs/heads/main",
			"run_id": "1", "nbf": 1, "scope": nil, "client_id": nil,
		},
		rejected: []shape{{"repository_owner_id": "66"}, {"ref": "refs/pull/1/merge"}, {"aud": "https://github.com/octo"}},
	},
	"Spring Authorization Server": {
		policy: springRecipe, scopes: []string{"openid", "orders"}, header: shape{"typ": nil},
		claims: shape{
			"aud": []string{"https://api.example.com"}, "nbf": 1, "scope": []string{"openid", "orders"}, "client_id": nil,
		},
		rejected: []shape{{"aud": "client"}, {"scope": []string{"openid orders"}}, {"scope": []any{"openid", nil}}},
	},
	"AD FS": {
		policy: adfsRecipe, client: "c1", scopes: []string{"openid", "user_impersonation"}, header: shape{"x5t": "x"},
		claims: shape{
			"aud": "https://api.example.com", "appid": "c1", "apptype": "Public", "authmethod": "urn:oasis", "auth_time": "2026-11-29T10:00:00.000Z",
			"ver": "1.0", "scp": "openid user_impersonation", "scope": nil, "client_id": nil,
		},
		rejected: []shape{{"iss": "https://adfs.example.com/adfs"}, {"aud": "c1"}},
	},
	"Kubernetes": {
		policy: clusterRecipe,
		claims: shape{
			"aud": []string{"orders"}, "sub": "system:serviceaccount:shop:web", "scope": nil, "client_id": nil,
			"kubernetes.io": shape{"namespace": "shop", "serviceaccount": shape{"name": "web", "uid": "u"}},
		},
		rejected: []shape{{"aud": []string{"https://kubernetes.default.svc"}}},
	},
	"AWS": {
		policy: awsRecipe,
		claims: shape{
			"aud": "https://api.example.com", "sub": "arn:aws:iam::123456789012:role/orders", "scope": nil, "client_id": nil,
			"https://sts.amazonaws.com/": shape{"aws_account": "123456789012", "source_region": "eu-west-1"},
		},
		rejected: []shape{{"sub": "arn:aws:iam::123456789012:user/x"}, {"https://sts.amazonaws.com/": shape{"aws_account": "1"}}},
	},
	"Cognito": {
		policy: cognitoRecipe, client: "", groups: []string{"admins"},
		claims: shape{
			"token_use": "id", "aud": "7abc0example1client2id", "at_hash": "x", "cognito:groups": []string{"admins"}, "scope": nil, "client_id": nil,
		},
		rejected: []shape{{"aud": "other"}, {"token_use": nil}, {"token_use": "access", "client_id": "7abc0example1client2id"}},
	},
}

func TestRecipesForProviders(t *testing.T) {
	t.Parallel()
	for name, r := range recipes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := r.policy()
			region := policy.Provider.Regions[0].Name
			w := fakeissuer.New(t, fakeissuer.Config{Provider: &policy.Provider, Algorithm: "RS256"})
			policy.Provider.HTTPClient = nil // of a cluster
			keys, err := jwks.New([]issuer.Provider{policy.Provider}, jwks.Config{HTTPClient: w.Client()})
			require.NoError(t, err)
			v, err := verifier.New([]verifier.Policy{policy}, keys, verifier.Config{})
			require.NoError(t, err)
			tok, err := v.Verify(t.Context(), w.Issue(region, fakeissuer.Claims{Set: r.claims, Header: r.header}))
			require.NoError(t, err)
			require.Equal(t, r.client, tok.ClientID())
			for _, s := range r.scopes {
				require.True(t, tok.HasScope(s), s)
			}
			for _, g := range r.groups {
				require.True(t, tok.HasGroup(g), g)
			}
			for _, change := range r.rejected {
				claims := maps.Clone(r.claims)
				maps.Copy(claims, change)
				_, err := v.Verify(t.Context(), w.Issue(region, fakeissuer.Claims{Set: claims, Header: r.header}))
				require.ErrorIs(t, err, verifier.ErrInvalid, "%v", change)
			}
		})
	}
}

// The document has the policies of this file, word for word.
func TestDocumentShowsTheRecipes(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("providers_test.go")
	require.NoError(t, err)
	document, err := os.ReadFile("docs/providers.md")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?ms)^func \w+Recipe\(\) verifier.Policy \{\n(.*?)\n\treturn trust\n\}`).FindAllStringSubmatch(string(own), -1)
	require.Len(t, found, len(recipes))
	for _, f := range found {
		text := strings.ReplaceAll(strings.TrimPrefix(f[1], "\t"), "\n\t", "\n")
		require.Contains(t, string(document), "```go\n"+text+"\n```")
	}
}
