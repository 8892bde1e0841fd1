// Package regionjwt verifies the tokens of identity providers that run in more than one region, and keeps verifying them
// when a region is lost.
//
// # The problem
//
// An identity provider that replicates to a second region (an Amazon Cognito user pool with a replica, a Keycloak realm in
// two regions) can fail over. The services that check its tokens usually cannot: they know one issuer URL, fetch keys from
// the region that is down, answer 401 to good tokens because a key server does not answer, and hammer it when someone
// sends random key IDs. This library accepts tokens issued in any region of a provider, also while a region is lost,
// and never answers that a token is invalid if it cannot tell.
//
// # Nouns
//
//   - A Provider is one identity provider; a Region one deployment of it: package issuer.
//   - A Source answers which keys may verify a token; the Cache fetches and keeps them: package jwks. A Store keeps what must
//     outlive a process: package store.
//   - A Policy says which tokens of a provider are accepted; a Token is a verified token: package verifier.
//   - A Rule revokes tokens at once, in a fleet: package revocation.
//   - A Middleware protects handlers: package middleware/httpauth, and for gRPC the module middleware/grpcauth.
//
// This package connects them: [New] makes a [Validator] from one [Config].
//
// # Use
//
//	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{{
//		Provider: issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"),
//		Audience: verifier.CognitoAccess("7abc..."),
//	}}})
//	if err != nil {
//		return err
//	}
//	go v.Run(ctx)
//	mux.Handle("GET /orders", httpauth.Require(v, middleware.Scopes("orders/read"))(orders)) // orders is your http.Handler
//
// # What happens when
//
//   - A region's key server refuses, hangs, answers 5xx, garbage or an empty set: nothing. The last good keys are used, for up
//     to 24 hours; its other JWKS URLs are fetched.
//   - A service starts while every region is unavailable: with a Store, it uses the snapshot of its keys for up to 24 hours.
//   - A service starts while one region is unavailable: the tokens of the other region verify. Those of the region that
//     is unavailable verify, too, if another JWKS URL or a snapshot has its keys; otherwise they get 503 with Retry-After.
//   - A key is rotated in: the first token that names it causes one fetch, and verifies in the same request.
//   - A key is withdrawn: its tokens are no longer accepted after the URL that listed it has answered twice, a minute apart,
//     without it.
//   - Ten thousand tokens with random key IDs arrive: a few fetches, and a new key still works.
//   - A key cannot be fetched: ErrUnavailable and 503, never 401.
//
// # Compatibility
//
// The module follows semantic versioning. Before v1.0.0 a minor version may change the API, and CHANGELOG.md says how to
// follow. Error texts, log lines and the order of checks with the same outcome are not part of the API; Reason labels are.
package regionjwt
