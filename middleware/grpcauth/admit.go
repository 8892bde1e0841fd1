package grpcauth

import (
	"context"
	"crypto/x509"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// admit returns the token of a call that is admitted, or the status of one that is not.
func (i *Interceptor) admit(ctx context.Context, method string) (*verifier.Token, error) {
	token, err := i.check(ctx, method)
	if err != nil {
		return nil, i.reject(ctx, method, nil, err)
	}
	i.onDecision(ctx, method, token, nil)
	return token, nil
}

// check verifies the token of a call. It reads only the key "authorization", never "authorization-bin".
func (i *Interceptor) check(ctx context.Context, method string) (*verifier.Token, error) {
	if i.verifier == nil {
		return nil, errNotNew
	}
	raw, _, err := authz.Presented(metadata.ValueFromIncomingContext(ctx, "authorization"), authz.Bearer)
	if err != nil {
		return nil, err
	}
	token, err := authz.Verify(ctx, i.verifier, raw)
	if err != nil {
		return nil, err
	}
	if err := i.confirm(ctx, token); err != nil {
		return nil, err
	}
	return token, middleware.Check(token, i.route(method).requirements...)
}

// route returns what method requires.
func (i *Interceptor) route(method string) *route {
	if r := i.routes[method]; r != nil {
		return r
	}
	return i.rest
}

// confirm checks that the sender of a token has the key that it is bound to.
func (i *Interceptor) confirm(ctx context.Context, t *verifier.Token) error {
	if i.config.InsecureIgnoreConfirmation {
		return nil
	}
	bound, err := authz.ConfirmationOf(t)
	switch {
	case err != nil:
		return err
	case bound.JWK != "":
		return authz.Unproven(t, authz.ErrDPoP)
	}
	return authz.CheckCertificate(t, bound, i.config.RequireCertificate, func() (certificate *x509.Certificate, err error) {
		err = guard.Call("Config.ClientCertificate", func() { certificate = i.config.ClientCertificate(ctx) })
		return certificate, err
	})
}

// peerCertificate returns the certificate of the client of the TLS connection, or nil.
func peerCertificate(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil
	}
	return info.State.PeerCertificates[0]
}

// pushback is the trailer that says to clients with a retry policy after how many milliseconds to retry (gRFC A6).
const pushback = "grpc-retry-pushback-ms"

// reject returns the status of a call that is not admitted, or whose token has ended.
func (i *Interceptor) reject(ctx context.Context, method string, t *verifier.Token, err error) error {
	i.onDecision(ctx, method, t, err)
	if _, _, after := middleware.Classify(err); after > 0 {
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushback, strconv.FormatInt(after.Milliseconds(), 10))) // works only in a server
	}
	return i.route(method).status(err)
}

func (i *Interceptor) onDecision(ctx context.Context, method string, t *verifier.Token, err error) {
	if i.config.OnDecision != nil {
		guard.Report(guard.Call("Config.OnDecision", func() { i.config.OnDecision(ctx, method, t, err) }))
	}
}
