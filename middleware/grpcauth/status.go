package grpcauth

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/middleware"
)

// domain is that of the ErrorInfo in the details of each status.
const domain = "regionjwt"

// route is what a method requires, and what its statuses say about it. A nil route requires nothing.
type route struct {
	requirements []middleware.Requirement
	scopes       map[string]string // metadata of Unauthenticated and PermissionDenied
	stepUp       map[string]string // metadata of INSUFFICIENT_USER_AUTHENTICATION
}

func newRoute(reqs []middleware.Requirement) *route {
	r := &route{requirements: slices.Clone(reqs), scopes: map[string]string{}, stepUp: map[string]string{}}
	c := authz.ChallengeOf(reqs)
	if len(c.Scopes) > 0 {
		r.scopes["scope"] = strings.Join(c.Scopes, " ")
		r.stepUp["scope"] = r.scopes["scope"]
	}
	if len(c.ACR) > 0 {
		r.stepUp["acr_values"] = strings.Join(c.ACR, " ")
	}
	if c.MaxAge > 0 {
		r.stepUp["max_age"] = strconv.FormatInt(int64(c.MaxAge/time.Second), 10)
	}
	return r
}

// codeOf maps the statuses of middleware.Classify.
var codeOf = map[int]codes.Code{
	http.StatusBadRequest:         codes.InvalidArgument,
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusTooManyRequests:    codes.ResourceExhausted,
	http.StatusServiceUnavailable: codes.Unavailable,
}

// status returns what the client may know of err.
func (r *route) status(err error) error {
	httpStatus, code, retryAfter := middleware.Classify(err)
	info := &errdetails.ErrorInfo{Reason: strings.ToUpper(code), Domain: domain}
	details := []protoadapt.MessageV1{info}
	switch {
	case r == nil:
	case code == "insufficient_user_authentication":
		info.Metadata = r.stepUp
	case httpStatus == http.StatusUnauthorized, httpStatus == http.StatusForbidden:
		info.Metadata = r.scopes
	}
	if retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	bare := status.New(codeOf[httpStatus], code)
	if full, err := bare.WithDetails(details...); err == nil {
		return full.Err()
	}
	return bare.Err()
}
