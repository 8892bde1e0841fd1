// Package regionjwt verifies the tokens of identity providers that live in more than one region, and goes on doing so
// when a region is lost.
//
// # The problem
//
// An identity provider that replicates to a second region (an Amazon Cognito user pool with a replica, a Keycloak realm in
// two regions) can fail over. The services that check its tokens usually cannot: they know one issuer URL, fetch keys from
// the region that is down, answer 401 to good tokens because a key server does not answer, and hammer it when someone
// sends random key IDs. This library accepts tokens minted in any region of an authority, through the loss of one, and
// never says that a token is bad where it cannot tell.
//
// # Nouns
//
//   - An Authority is one identity provider; a Region one deployment of it: package issuer.
//   - A Source answers which keys may verify a token; the Cache fetches and keeps them: package jwks. A Store keeps what has to
//     outlive a process: package store.
//   - A Policy is what is demanded of a provider's tokens; a Token is a verified one: package verifier.
//   - A Rule revokes tokens at once, in a fleet: package revocation.
//   - A Middleware protects handlers: package middleware/httpauth, and for gRPC the module middleware/grpcauth.
//
// This package wires them: [New] makes a [Validator] from one [Config]. It does nothing that the parts cannot.
//
// # Use
//
//	pool, err := issuer.Cognito(issuer.UserPool{ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}})
//	if err != nil {
//		return err
//	}
//	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{
//		{Provider: pool, Audience: verifier.CognitoAccess("7abc...")},
//	}})
//	if err != nil {
//		return err
//	}
//	go v.Run(ctx)
//	auth, err := httpauth.New(httpauth.Config{Verifier: v})
//	if err != nil {
//		return err
//	}
//	mux.Handle("GET /orders", auth.Handler(orders, middleware.Scopes("orders/read"))) // orders is your http.Handler
//
// # What happens when
//
//   - A region's key server refuses, hangs, answers 5xx, garbage or an empty set: nothing. The last good keys serve, for up
//     to 24 hours; its mirrors are asked.
//   - A service starts while all is dark: with a Store, the snapshot of its keys serves, as long as it is young enough.
//   - A service starts while one region is dark: the other region's tokens verify; those of the dark one get 503 with
//     Retry-After, until it returns or a mirror has its keys.
//   - A key is rotated in: the first token that names it causes one fetch, and verifies in the same request.
//   - A key is withdrawn: its tokens are refused once the URL that listed it has answered twice, a minute apart, without.
//   - Ten thousand tokens with random key IDs come in: a handful of fetches, and a real rotation still gets through.
//   - A key cannot be had: ErrUnavailable and 503, never 401.
//
// # Compatibility
//
// The module follows semantic versioning. Before v1.0.0 a minor version may change the API, and CHANGELOG.md says how to
// follow. Error texts, log lines and the order of checks with the same outcome are not part of the API; Reason labels are.
package regionjwt
