package workload

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/regionjwt/regionjwt/aws/internal/call"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

const (
	maxForm       = 1 << 10         // bytes of a request of the TokenSource
	singleTimeout = 4 * time.Second // of a call to the only Region, with its retries: less than the TokenSource waits
)

// Labels of failures.
const (
	noCredentials = "no_credentials"
	sessionEnding = "session_ending"
	throttled     = "throttled"
)

// final has the codes of AWS that say something about the role, the account or the request, so that no Region would give another
// answer. InvalidClientTokenId is not one: a Region that is not enabled for the account says it, too.
var final = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "ExpiredToken": true, "ExpiredTokenException": true,
	"OutboundWebIdentityFederationDisabledException": true, "JWTPayloadSizeExceededException": true,
	"ValidationError": true, "ValidationException": true, "InvalidParameterValue": true,
	"SignatureDoesNotMatch": true, "IncompleteSignature": true, "MissingAuthenticationToken": true,
}

// skewed has the codes after which the SDK knows how far the clock of this machine is off.
var skewed = map[string]bool{"SignatureDoesNotMatch": true, "InvalidSignatureException": true, "RequestTimeTooSkewed": true}

const escalation = "SessionDurationEscalationException"

// transport answers the requests of a TokenSource: it has AWS STS issue a token. It is safe for concurrent use.
type transport struct {
	config  Config
	clients map[string]Client // by host
	single  bool              // there is one client
}

// RoundTrip implements http.RoundTripper. An answer of AWS that has no token is an error.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	form, err := io.ReadAll(io.LimitReader(req.Body, maxForm))
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	if v, err := url.ParseQuery(string(form)); err != nil || v.Get("grant_type") != "client_credentials" {
		return nil, &outbound.ServiceError{Code: "unsupported_grant_type"} // such as an exchange
	}
	token, life, err := t.ask(req.Context(), t.clients[req.URL.Host])
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": life.Seconds()})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: req, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// ask has one Region issue a token, for as long as it can be used. If the token would outlive the role session, ask requests
// half the time.
func (t *transport) ask(ctx context.Context, client Client) (token string, life time.Duration, err error) {
	duration, err := t.duration(ctx, client)
	if err != nil {
		return "", 0, err
	}
	corrected := false
	for {
		out, err := client.GetWebIdentityToken(ctx, t.input(duration), t.options)
		code := codeOf(err)
		switch {
		case err == nil && out == nil:
			return "", 0, &outbound.ServiceError{Label: label.Malformed}
		case err == nil:
			token = aws.ToString(out.WebIdentityToken)
			return token, min(duration, lifetime(token, duration)), nil
		case code == escalation && duration > shortest:
			duration = max(shortest, (duration / 2).Truncate(time.Second))
		case skewed[code] && !corrected:
			corrected = true
		default:
			return "", 0, refusal(err, code)
		}
	}
}

// duration returns how long a token may be valid: no longer than the credentials of the client are, if these say so. These may be
// off, as clocks are, so that ask has to be ready for another answer.
func (t *transport) duration(ctx context.Context, client Client) (time.Duration, error) {
	duration := t.config.Duration
	provider := client.Options().Credentials
	if nils.Is(provider) {
		return duration, nil
	}
	credentials, err := provider.Retrieve(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, err
	case err != nil:
		return 0, &outbound.ServiceError{Label: noCredentials, Err: err}
	case credentials.CanExpire:
		left := time.Until(credentials.Expires).Truncate(time.Second)
		duration = min(duration, max(shortest, left))
	}
	return duration, nil
}

func (t *transport) input(duration time.Duration) *sts.GetWebIdentityTokenInput {
	in := &sts.GetWebIdentityTokenInput{
		Audience: slices.Clone(t.config.Audiences), SigningAlgorithm: aws.String(t.config.Algorithm),
		DurationSeconds: aws.Int32(int32(duration / time.Second)),
	}
	for key, value := range t.config.Tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	return in
}

// options are those of each call. The next Region is a better retry than the same one.
func (t *transport) options(o *sts.Options) {
	if !t.single {
		o.Retryer = aws.NopRetryer{}
		return
	}
	o.Retryer = call.Retryer(o.Retryer, singleTimeout)
	o.APIOptions = append(slices.Clip(o.APIOptions), call.Attempts(singleTimeout))
}

// codeOf returns the code of an error of AWS, or "".
func codeOf(err error) string {
	var api smithy.APIError
	if err == nil || !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// refusal says what an error of the client means. An error without an answer of AWS is returned as it is.
func refusal(err error, code string) error {
	var answer interface{ HTTPStatusCode() int }
	status := 0
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	slow := retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err) == aws.TrueTernary
	switch {
	case code == "" && status == 0:
		return err
	case slow || status == http.StatusTooManyRequests:
		return &outbound.ServiceError{Label: throttled, Err: err}
	case code == escalation:
		return &outbound.ServiceError{Label: sessionEnding, Err: err}
	case final[code] && status < http.StatusInternalServerError:
		return &outbound.ServiceError{Code: code, Status: status, Err: err}
	case status == http.StatusOK || status == 0:
		return &outbound.ServiceError{Label: label.Malformed, Err: err}
	}
	return &outbound.ServiceError{Status: status, Err: err}
}

// lifetime returns for how long a token was issued, or otherwise if it does not say so. It is no check of the token.
func lifetime(token string, otherwise time.Duration) time.Duration {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return otherwise
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issued  int64 `json:"iat"`
		Expires int64 `json:"exp"`
	}
	if err != nil || strictjson.Unmarshal(string(payload), &claims) != nil {
		return otherwise
	}
	if claims.Issued <= 0 || claims.Expires <= claims.Issued {
		return otherwise
	}
	return time.Duration(min(claims.Expires-claims.Issued, int64(longest/time.Second))) * time.Second
}
