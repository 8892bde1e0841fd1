package serve

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// Authorization answers the requests of the filter ext_authz of Envoy (version 3, by gRPC). Every answer is a decision, never an
// error of the call: Envoy admits requests after errors if failure_mode_allow is set.
func (d *Door) Authorization() authv3.AuthorizationServer { return &authorization{door: d} }

type authorization struct {
	authv3.UnimplementedAuthorizationServer
	door *Door
}

// Check implements the service.
func (a *authorization) Check(ctx context.Context, call *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	ctx, cancel := earlier(ctx)
	defer cancel()
	asked := call.GetAttributes().GetRequest().GetHttp()
	rules := a.door.Rules.Load()
	o := original{method: asked.GetMethod(), uri: asked.GetPath()}
	req := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/"}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody,
	}
	each(asked, func(name, value string) {
		switch {
		case name == "authorization":
			req.Header["Authorization"] = append(req.Header["Authorization"], value)
		case o.problem == nil:
			o.problem = rules.misleads(name, dialects[Envoy], true)
		}
	})
	if o.problem == nil && (o.method == "" || o.uri == "") {
		o.problem = errMissing
		if a.door.OnMistake != nil {
			a.door.OnMistake(Envoy, "the request has no method or path")
		}
	}
	answer := newRecorder()
	a.door.serve(rules, answer, req.WithContext(ctx), Envoy, o)
	if answer.status == http.StatusOK {
		return rules.allowed(answer), nil
	}
	return denied(answer), nil
}

// earlier ends a while before the call does, so that the answer is in time.
func earlier(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/4, maxMargin)))
}

const maxMargin = 250 * time.Millisecond

// each calls f with each header of a request. Envoy sends them as a map, in which several values of a name are joined with
// commas, or one by one.
func each(r *authv3.AttributeContext_HttpRequest, f func(name, value string)) {
	for name, value := range r.GetHeaders() {
		f(strings.ToLower(name), value)
	}
	for _, h := range r.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if len(h.GetRawValue()) > 0 {
			value = string(h.GetRawValue())
		}
		f(strings.ToLower(h.GetKey()), value)
	}
}

// codeOf says why a request was denied. Envoy only looks at whether it is 0.
var codeOf = map[int]codes.Code{
	http.StatusBadRequest:         codes.InvalidArgument,
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusTooManyRequests:    codes.ResourceExhausted,
	http.StatusServiceUnavailable: codes.Unavailable,
}

// denied makes an answer of Envoy.
func denied(answer *recorder) *authv3.CheckResponse {
	code := codeOf[answer.status]
	if code == codes.OK {
		code = codes.PermissionDenied
	}
	response := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(answer.status)}, Body: string(answer.body),
	}
	for name, values := range answer.header {
		for _, value := range values {
			response.Headers = append(response.Headers, option(name, value, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
		}
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code)}, HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: response},
	}
}

// allowed makes an answer of Envoy that overwrites or removes every identity header, and removes their aliases.
func (r *Rules) allowed(answer *recorder) *authv3.CheckResponse {
	response := &authv3.OkHttpResponse{HeadersToRemove: slices.Clip(r.aliases)}
	const overwrite = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	for _, h := range r.table.Headers {
		if value := answer.header.Get(h.Name); value != "" {
			response.Headers = append(response.Headers, option(h.Name, value, overwrite))
			continue
		}
		response.HeadersToRemove = append(response.HeadersToRemove, strings.ToLower(h.Name))
	}
	return &authv3.CheckResponse{
		Status: &status.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: response},
	}
}

func option(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: strings.ToLower(name), Value: value}, AppendAction: action,
	}
}
