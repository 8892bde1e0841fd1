package grpcauth

import (
	"context"
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Domain is that of the ErrorInfo in the details of each answer.
const Domain = "regionjwt"

// rule is what a method demands, and how that is said to clients. A nil rule demands nothing.
type rule struct {
	requirements []middleware.Requirement
	forbidden    map[string]string // metadata where a scope is lacking
	stepUp       map[string]string // metadata where the user has to sign in again
}

func newRule(requirements []middleware.Requirement) *rule {
	r := &rule{requirements: slices.Clone(requirements), forbidden: map[string]string{}, stepUp: map[string]string{}}
	if scopes := middleware.ScopesOf(requirements); len(scopes) > 0 {
		r.forbidden["scope"] = strings.Join(scopes, " ")
	}
	c := middleware.StepUpOf(requirements)
	if len(c.ACR) > 0 {
		r.stepUp["acr_values"] = strings.Join(c.ACR, " ")
	}
	if c.MaxAge > 0 {
		r.stepUp["max_age"] = strconv.FormatInt(int64(c.MaxAge/time.Second), 10)
	}
	return r
}

// status says to a client what came of a token, and nothing of err but its public reason.
func (r *rule) status(err error) error {
	outcome, retryAfter := middleware.Classify(err)
	code := codes.Unauthenticated
	info := &errdetails.ErrorInfo{Reason: strings.ToUpper(outcome.String()), Domain: Domain}
	details := []protoadapt.MessageV1{info}
	switch outcome {
	case middleware.Missing, middleware.Invalid, middleware.BadProof, middleware.NeedNonce:
	case middleware.NeedStepUp:
		if r != nil {
			info.Metadata = r.stepUp
		}
	case middleware.Forbidden:
		code = codes.PermissionDenied
		if r != nil {
			info.Metadata = r.forbidden
		}
	case middleware.BadRequest:
		code = codes.InvalidArgument
	case middleware.Unavailable, middleware.RateLimited:
		code = codes.Unavailable
		if outcome == middleware.RateLimited {
			code = codes.ResourceExhausted
		}
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	default: // a reason that this version does not know is no better than a bad token
	}
	bare := status.New(code, outcome.String())
	if full, err := bare.WithDetails(details...); err == nil {
		return full.Err()
	}
	return bare.Err()
}

// confirm checks the key that a token is bound to.
func (i *Interceptor) confirm(ctx context.Context, t *verifier.Token) error {
	if i.certificates == middleware.Off {
		return nil
	}
	if err := middleware.CheckConfirmation(t, middleware.CertificateThumbprint); err != nil {
		return err
	}
	var certificate *x509.Certificate
	if p := guard.Call("ClientCertificate", func() { certificate = i.certificate(ctx) }); p != nil {
		return p // which is Unavailable
	}
	return middleware.CheckCertificate(t, certificate, i.certificates)
}

// peerCertificate is the certificate that the peer has the key of, as the TLS handshake showed, or nil.
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
