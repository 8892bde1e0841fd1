package fakeissuer

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

const (
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	proofAge        = time.Minute
)

// oauthError is an error code of a token endpoint.
type oauthError string

func (e oauthError) Error() string { return string(e) }

// token answers a request to the token endpoint: the client credentials grant (RFC 6749, section 4.4), with a token for a machine
// client, and token exchange (RFC 8693). It does not authenticate the client. With a DPoP proof, the token is bound to its key
// (RFC 9449, section 5).
func (s *Server) token(w http.ResponseWriter, req *http.Request, r *region) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	answer, err := s.grant(req, r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) grant(req *http.Request, r *region) (map[string]any, error) {
	if err := req.ParseForm(); err != nil || req.Method != http.MethodPost {
		return nil, oauthError("invalid_request")
	}
	set := map[string]any{}
	answer := map[string]any{"token_type": "Bearer", "expires_in": 3600}
	if proof := req.Header.Values("DPoP"); len(proof) > 0 {
		thumbprint, err := s.checkProof(req, proof)
		if err != nil {
			return nil, oauthError("invalid_dpop_proof")
		}
		set["cnf"], answer["token_type"] = map[string]any{"jkt": thumbprint}, "DPoP"
	}
	client := req.Form.Get("client_id")
	if name, _, ok := req.BasicAuth(); ok {
		if plain, err := url.QueryUnescape(name); err == nil {
			client = plain
		}
	}
	if audience := slices.Concat(req.Form["audience"], req.Form["resource"]); len(audience) > 0 && !s.cognito {
		set["aud"] = audience
	}
	claims := Claims{Machine: true, ClientID: client, Scope: req.Form.Get("scope"), Set: set}
	switch req.Form.Get("grant_type") {
	case "client_credentials":
	case exchangeGrant:
		if err := s.exchange(req.Form, &claims); err != nil {
			return nil, err
		}
		answer["issued_token_type"] = accessTokenType
	default:
		return nil, oauthError("unsupported_grant_type")
	}
	answer["access_token"] = s.Issue(r.name, claims)
	return answer, nil
}

// exchange makes claims those of a token for the subject of one token, with the subject of another one as the actor.
func (s *Server) exchange(form url.Values, claims *Claims) error {
	subject, err := s.own(form.Get("subject_token"))
	if err != nil {
		return oauthError("invalid_request")
	}
	claims.Machine = false
	claims.Subject, _ = subject["sub"].(string)
	scope, _ := subject["scope"].(string)
	claims.Scope = cmp.Or(claims.Scope, scope)
	act := subject["act"]
	if token := form.Get("actor_token"); token != "" {
		actor, err := s.own(token)
		if err != nil {
			return oauthError("invalid_request")
		}
		current := map[string]any{"sub": actor["sub"]}
		if act != nil {
			current["act"] = act
		}
		act = current
	}
	if act != nil {
		claims.Set["act"] = act
	}
	return nil
}

// own returns the claims of a token that the Server has issued and that has not expired.
func (s *Server) own(token string) (map[string]any, error) {
	bad := errors.New("it is not a token of this server")
	c, ok := jose.Split(token)
	var b jose.Buffer
	j, decoded := b.Decode(c)
	if !ok || !decoded {
		return nil, bad
	}
	var header struct {
		ID string `json:"kid"`
	}
	var claims map[string]any
	if json.Unmarshal([]byte(j.Header), &header) != nil || json.Unmarshal([]byte(j.Payload), &claims) != nil {
		return nil, bad
	}
	if exp, _ := claims["exp"].(float64); !s.now().Before(time.Unix(int64(exp), 0)) {
		return nil, bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.regions {
		for _, k := range r.ring.signers {
			if k.ID == header.ID && jose.Verify(k.Algorithm, k.Public(), j.Input, j.Signature) == nil {
				return claims, nil
			}
		}
	}
	return nil, bad
}

// checkProof returns the thumbprint of the key of a DPoP proof for a request (RFC 9449, section 4.3). A proof can be used again.
func (s *Server) checkProof(req *http.Request, proofs []string) (thumbprint string, err error) {
	bad := errors.New("the proof is not valid")
	c, ok := jose.Split(proofs[0])
	var b jose.Buffer
	j, decoded := b.Decode(c)
	if len(proofs) > 1 || !ok || !decoded {
		return "", bad
	}
	header, err := strictjson.Parse(nil, j.Header)
	if err != nil || !strictjson.Find(header, "typ").Is("dpop+jwt") {
		return "", bad
	}
	jwk := strictjson.Find(header, "jwk")
	if jwk.Kind() != strictjson.Object || !strings.HasPrefix(jwk.Raw(), "{") {
		return "", bad
	}
	named, err := strictjson.Parse(nil, `{"jwk":{"kid":"proof",`+jwk.Raw()[1:]+`}`) // jose.ParseKey needs a kid
	if err != nil {
		return "", bad
	}
	key, skip := jose.ParseKey(strictjson.Find(named, "jwk"), jose.MaxRSABits)
	alg := strictjson.Find(header, "alg").Text()
	if skip != "" || !jose.Fits(alg, key.Public) || jose.Verify(alg, key.Public, j.Input, j.Signature) != nil {
		return "", bad
	}
	var claims struct {
		Method string `json:"htm"`
		URL    string `json:"htu"`
		Issued int64  `json:"iat"`
	}
	if json.Unmarshal([]byte(j.Payload), &claims) != nil {
		return "", bad
	}
	at, err := url.Parse(claims.URL)
	age := s.now().Sub(time.Unix(claims.Issued, 0))
	if err != nil || claims.Method != req.Method || at.Host != req.Host || at.EscapedPath() != req.URL.EscapedPath() ||
		at.RawQuery != "" || age > proofAge || age < -proofAge {
		return "", bad
	}
	return key.Thumbprint.String(), nil
}
