package albauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// A token that a load balancer of AWS has made in June 2023, and its key, as they are in the tests of smallrye-jwt
// (AwsAlbTokenTest).
const (
	realToken = "eyJ0eXAiOiJKV1QiLCJraWQiOiJjMmY4MGM4Yi1jMDVjLTQwNjgtYWYxNC0xNzI5OWY3ODk2YjEiLCJhbGciOiJFUzI1NiIsImlzcyI6Imh0dHBzOi8vY29nbml0by1pZHAuZXUtY2VudHJhbC0xLmFtYXpvbmF3cy5jb20vZXUtY2VudHJhbC0xX015UnJPQ0hRdyIsImNsaWVudCI6IjRmbXZodDIydGpyZ2Q3ZDNrM3RnaHR0Y3Q3Iiwic2lnbmVyIjoiYXJuOmF3czplbGFzdGljbG9hZGJhbGFuY2luZzpldS1jZW50cmFsLTE6MTk3MjgwOTU4MjI1OmxvYWRiYWxhbmNlci9hcHAvZWNzLXdpdGgtY29nbml0by1sYi82Mjg0YmU2NWI4MjdjNTk4IiwiZXhwIjoxNjg3NzQ4MDQ1fQ==" +
		".eyJzdWIiOiIyM2Q0OThiMi0zMDMxLTcwZDItOGExNS00OWRkODg2YTA4N2IiLCJlbWFpbF92ZXJpZmllZCI6InRydWUiLCJlbWFpbCI6ImR1a2VAc3VuLmNvbSIsInVzZXJuYW1lIjoiZHVrZSIsImV4cCI6MTY4Nzc0ODA0NSwiaXNzIjoiaHR0cHM6Ly9jb2duaXRvLWlkcC5ldS1jZW50cmFsLTEuYW1hem9uYXdzLmNvbS9ldS1jZW50cmFsLTFfTXlSck9DSFF3In0=" +
		".Jd7RXHsOj8vw2b4irZCxxWO-0UQBZ2X1bRNsKZ9D02JWJaNOvOnrV8T-qrcmWNpl7MjNhsGSm1C4e2rAjaF0jg=="
	realKey = "-----BEGIN PUBLIC KEY-----\n" +
		"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjPHY1j9umvc8nZEswOzs+lPpLKLn\n" +
		"qCBqvyZGJfBlXapmtGiqYEwpIqh/lZdkr4wDii7CP1DzIUSHONbc+jufiQ==\n" +
		"-----END PUBLIC KEY-----\n"
)

func realConfig(s *server) albauth.Config {
	return albauth.Config{
		Provider: issuer.Cognito("eu-central-1_MyRrOCHQw"),
		LoadBalancers: []albauth.LoadBalancer{{
			ARN: "arn:aws:elasticloadbalancing:eu-central-1:197280958225:loadbalancer/app/ecs-with-cognito-lb/6284be65b827c598",
		}},
		Clients:    []string{"4fmvht22tjrgd7d3k3tghttct7"},
		HTTPClient: &http.Client{Transport: s},
	}
}

// The token of AWS verifies with its key, over the padded text, until it expires.
func TestTheRealTokenVerifies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.keys["https://public-keys.auth.elb.eu-central-1.amazonaws.com/c2f80c8b-c05c-4068-af14-17299f7896b1"] = realKey
		v := newVerifier(t, realConfig(s))
		time.Sleep(time.Until(time.Unix(1687748045, 0).Add(-time.Minute)))
		verified, err := v.Verify(t.Context(), realToken)
		require.NoError(t, err)
		require.Equal(t, []string{
			"eu-central-1_MyRrOCHQw", "23d498b2-3031-70d2-8a15-49dd886a087b", "4fmvht22tjrgd7d3k3tghttct7", "eu-central-1", "duke",
			"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_MyRrOCHQw", "c2f80c8b-c05c-4068-af14-17299f7896b1", "fetched",
		}, []string{
			verified.Provider(), verified.Subject(), verified.ClientID(), verified.Region(), verified.Claim("username").(string),
			verified.Issuer(), verified.Key().ID(), verified.Key().Origin(),
		})
		require.Equal(t, int64(1687748045), verified.Expiry().Unix())
		require.NoError(t, v.Recheck(t.Context(), verified))
		stripped := strings.ReplaceAll(realToken, "=", "")
		require.Equal(t, "bad_signature", outcome(v, stripped), "the signature is over the padding")
		time.Sleep(2 * time.Minute)
		require.Equal(t, "expired", outcome(v, realToken))
		require.ErrorContains(t, v.Recheck(t.Context(), verified), "expired")
	})
}

// Each member that says who has signed what for whom is required and judged, before a key is fetched.
func TestEachMemberIsJudgedBeforeAFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		v := newVerifier(t, config(s))
		now, good := time.Now().Unix(), signed(east, uuid(1), k)
		type m = map[string]any
		for _, c := range []struct {
			header, payload m
			want            string
		}{
			{m{"signer": nil}, nil, "malformed signer"},
			{m{"signer": ""}, nil, "malformed signer"},
			{m{"signer": []string{east}}, nil, "malformed signer"},
			{m{"signer": strings.ToUpper(east)}, nil, "unknown_issuer signer"},
			{m{"signer": east + "/"}, nil, "unknown_issuer signer"},
			{m{"signer": strings.Replace(east, "123456789012", "999999999999", 1)}, nil, "unknown_issuer signer"},
			{m{"signer": nil}, m{"signer": east}, "malformed signer"},
			{m{"client": nil}, m{"client": client}, "malformed client"},
			{m{"client": "other"}, nil, "bad_audience client"},
			{m{"client": "other"}, m{"client_id": client, "aud": client}, "bad_audience client"},
			{m{"iss": nil}, nil, "malformed iss"},
			{m{"iss": "https://elsewhere.example"}, nil, "malformed iss"},
			{m{"iss": "https://elsewhere.example"}, m{"iss": nil}, "unknown_issuer iss"},
			{m{"iss": "https://elsewhere.example"}, m{"iss": "https://elsewhere.example"}, "unknown_issuer iss"},
			{nil, m{"iss": "https://elsewhere.example"}, "malformed iss"},
			{m{"iss": iss + "/"}, m{"iss": nil}, "unknown_issuer iss"},
			{m{"exp": nil}, nil, "malformed exp"},
			{m{"exp": "2000000000"}, nil, "malformed exp"},
			{m{"exp": now - 60}, m{"exp": nil}, "expired"},
			{m{"exp": now - 60}, m{"exp": now + 60}, "malformed exp"},
			{m{"exp": now + 60}, m{"exp": now - 60}, "malformed exp"},
			{m{"exp": now - 60}, m{"exp": now - 60}, "expired"},
			{nil, m{"nbf": now + 300}, "not_yet_valid"},
			{nil, m{"iat": now + 300}, "not_yet_valid"},
			{nil, m{"sub": nil}, "missing_claim sub"},
			{nil, m{"sub": ""}, "missing_claim sub"},
			{nil, m{"sub": 1}, "malformed sub"},
			{m{"kid": nil}, nil, "malformed kid"},
			{m{"kid": "1"}, nil, "malformed kid"},
			{m{"kid": "../" + uuid(1)}, nil, "malformed kid"},
			{m{"kid": uuid(1) + "/"}, nil, "malformed kid"},
			{m{"kid": strings.ReplaceAll(uuid(1), "-", "/")}, nil, "malformed kid"},
			{m{"kid": "ABCDEF00-0000-4000-8000-000000000000"}, nil, "malformed kid"},
			{m{"kid": "g0000000-0000-4000-8000-000000000000"}, nil, "malformed kid"},
			{m{"alg": "RS256"}, nil, "alg_not_allowed alg, see Policy.Algorithms"},
			{m{"alg": "none"}, nil, "alg_not_allowed alg"},
			{m{"typ": "at+jwt"}, nil, "typ_not_allowed typ, see Policy.Types"},
			{m{"crit": []string{"exp"}}, nil, "malformed crit"},
		} {
			require.Equal(t, c.want, outcome(v, good.with(c.header, c.payload).String()), "%v %v", c.header, c.payload)
		}
		require.Zero(t, s.count(""), "nothing was fetched for any of them")
		s.publish(t, eastKeys+uuid(1), k)
		for _, c := range [][2]m{
			{},
			{nil, {"exp": nil}},
			{nil, {"iss": nil}},
			{nil, {"exp": nil, "iss": nil}},
			{{"typ": nil}},
			{nil, {"client_id": "other", "azp": "third"}},
			{{"iss": "https://cognito-idp.us-west-2.amazonaws.com/us-east-1_AbCdEf123"}, {"iss": nil}},
		} {
			require.Equal(t, "accepted", outcome(v, good.with(c[0], c[1]).String()), "%v", c)
		}
		require.Equal(t, 1, s.count(""))
	})
}

// Padding is accepted where it belongs: in every segment that needs it, or in none.
func TestPadding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		v := newVerifier(t, config(s))
		good := signed(east, uuid(1), k)
		for n := range 3 { // each length of the padding
			good.payload["x"] = strings.Repeat("x", n)
			good.spell = base64.URLEncoding
			require.Equal(t, "accepted", outcome(v, good.String()))
			good.spell = base64.RawURLEncoding
			require.Equal(t, "accepted", outcome(v, good.String()))
		}
		good.spell = base64.URLEncoding
		for !strings.HasSuffix(strings.Split(good.String(), ".")[1], "=") {
			good.payload["x"] = good.payload["x"].(string) + "x"
		}
		parts := strings.Split(good.String(), ".")
		resigned := func(header, payload, signature string) string {
			raw := sign(k, header+"."+payload)
			if signature == "" {
				signature = base64.URLEncoding.EncodeToString(raw)
			}
			return header + "." + payload + "." + signature
		}
		require.Equal(t, "accepted", outcome(v, resigned(parts[0], parts[1], "")))
		bare := strings.TrimRight(parts[1], "=")
		for _, payload := range []string{bare, bare + "====", parts[1] + "=", "=" + parts[1], bare + "=" + parts[1][len(bare):], bare[:4] + "==" + bare[4:], "="} {
			if payload != parts[1] {
				require.Contains(t, outcome(v, resigned(parts[0], payload, "")), "malformed", payload)
			}
		}
		signature := base64.RawURLEncoding.EncodeToString(sign(k, parts[0]+"."+parts[1]))
		for _, wrong := range []string{
			signature, signature + "=", signature + "===", signature + "=.", signature + "==.", signature + "\n==",
			signature[:len(signature)-1] + next(signature[len(signature)-1]) + "==", // bits that are not used
		} {
			require.Contains(t, outcome(v, resigned(parts[0], parts[1], wrong)), "malformed", wrong)
		}
		require.Equal(t, "accepted", outcome(v, resigned(parts[0], parts[1], signature+"==")))
	})
}

// next returns the character after c.
func next(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}

// A key of the server of the Region proves nothing about who has signed: it has the keys of all accounts.
func TestAnotherLoadBalancerOfTheRegionIsRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, own, other := newServer(), key(t), key(t)
		s.publish(t, eastKeys+uuid(1), own)
		s.publish(t, eastKeys+uuid(2), other)
		s.publish(t, westKeys+uuid(3), own)
		v := newVerifier(t, config(s))
		foreign := strings.Replace(east, "/shop/", "/evil/", 1)
		require.Equal(t, "unknown_issuer signer", outcome(v, signed(foreign, uuid(2), other).String()))
		require.Zero(t, s.count(""))
		require.Equal(t, "bad_signature", outcome(v, signed(east, uuid(1), other).String()))
		require.Equal(t, "accepted", outcome(v, signed(east, uuid(1), own).String()))
		require.Equal(t, "unknown_key", outcome(v, signed(east, uuid(3), own).String()), "a key of the other Region")
		require.Equal(t, "accepted", outcome(v, signed(west, uuid(3), own).String()))
	})
}

// What is not a PEM file with one key on P-256 is no answer about the key.
func TestKeysThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := key(t)
		good := pemOf(t, k.Public())
		p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		require.NoError(t, err)
		for _, text := range []string{
			"", "{}", "<html>", good + good, "x\n" + good, good + "x", strings.Replace(good, "PUBLIC", "PRIVATE", 2),
			strings.Replace(good, "-----\n", "-----\nA: b\n\n", 1), pemOf(t, p384.Public()), strings.Repeat("x", 1<<20),
			good[:60] + "\n-----END PUBLIC KEY-----\n",
		} {
			s := newServer()
			s.fail(text)
			if text == "" {
				s.fail("200")
			}
			v := newVerifier(t, config(s))
			require.Equal(t, "keys_unavailable", outcome(v, signed(east, uuid(1), k).String()), "%.80q", text)
		}
		s := newServer()
		s.fail(good + "\n \n")
		require.Equal(t, "accepted", outcome(newVerifier(t, config(s)), signed(east, uuid(1), k).String()))
	})
}

// Claims, groups and the functions of a policy work as for any other token.
func TestThePolicyIsAppliedAsToAnyToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, westKeys+uuid(1), k)
		good := signed(west, uuid(1), k).with(nil, map[string]any{"groups": []string{"admins"}, "scope": "a b", "client_id": "x"})
		c := config(s)
		c.RequiredClaims = []string{"groups"}
		c.RegionPolicy = func(provider string, regions []string, issuedAt time.Time) error {
			require.Equal(t, []string{"us-east-1_AbCdEf123", "us-west-2"}, append([]string{provider}, regions...))
			require.Zero(t, issuedAt)
			return nil
		}
		v := newVerifier(t, c)
		verified, err := v.Verify(t.Context(), good.String())
		require.NoError(t, err)
		require.True(t, verified.HasGroup("admins"))
		require.True(t, verified.HasScope("b"))
		require.Equal(t, client, verified.ClientID())
		require.Equal(t, "missing_claim groups", outcome(v, good.with(nil, map[string]any{"groups": nil}).String()))
		require.Equal(t, "accepted", outcome(v, good.String()))
		c.LoadBalancers[1].Region = "west"
		c.RegionPolicy, c.Clients = nil, []string{verifier.AllowAnyClient}
		v = newVerifier(t, c)
		verified, err = v.Verify(t.Context(), good.with(map[string]any{"client": "any"}, nil).String())
		require.NoError(t, err)
		require.Equal(t, "west", verified.Region())
		require.Equal(t, "any", verified.ClientID())
	})
}
