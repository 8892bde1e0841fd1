// Package docs_test compiles every Go block of the documentation, compares their command lines with the tool, and follows
// their links.
package docs_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"expvar"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/MicahParks/keyfunc/v3"
	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	auth0jwks "github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	mcpauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/redis/go-redis/v9"
	"github.com/rs/cors"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/aws/dynamostore"
	"github.com/regionjwt/regionjwt/aws/lambdaauth"
	"github.com/regionjwt/regionjwt/aws/workload"
	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
	"github.com/regionjwt/regionjwt/verifier"
)

// Given is the function that a block without a package clause is a part of: its parameters are what the block may use
// without declaring it, and the imports of this file are those that it may use without naming them.
func Given(
	ctx context.Context, w http.ResponseWriter, r *http.Request, next http.Handler, mux *http.ServeMux, orders http.Handler,
	pool issuer.Provider, v *regionjwt.Validator, auth *httpauth.Middleware, raw string,
	rules *revocation.List, controller *failover.Controller, config verifier.Config, source *clientcredentials.TokenSource,
	private ed25519.PrivateKey, shared store.Store, fleetSecret []byte, awsConfig aws.Config, meters metric.MeterProvider, tracers trace.TracerProvider,
	watched func(middleware.Verifier, http.Handler) http.Handler, mcpHandler http.Handler, file *configfile.File,
) error {
	return nil
}

// The imports that Given itself has no use for.
var (
	_ = []any{
		json.Marshal, pem.Decode, tls.Dial, x509.ParsePKIXPublicKey, errors.New, expvar.NewMap, fmt.Errorf, log.Fatal, slog.Default, os.Getenv, signal.NotifyContext,
		filepath.Join, strings.Fields, syscall.SIGTERM, time.Second, connect.NewErrorWriter, keyfunc.NewDefaultCtx,
		jwtmiddleware.New, auth0jwks.NewCachingProvider, validator.New, url.Parse,
		lambda.Start, oidc.NewProvider, jwt.Parse, mcpauth.RequireBearerToken,
		configfile.Open, albauth.New, lambdaauth.New, redis.NewClient, cors.New, require.NoError, issuertest.New, middleware.Scopes, grpcauth.New, store.Dir, redisstore.New, dynamodb.NewFromConfig, dynamostore.New,
		sts.NewFromConfig, workload.New,
		statuspage.Handler, jwks.New, otel.Instrument,
		clientcredentials.New, testing.Short,
	}
	_ = slices.Sorted[string]
	_ = sharedsignals.New
	_ *gin.Context
	_ *grpc.Server
	_ events.APIGatewayV2HTTPRequest
)
