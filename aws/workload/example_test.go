package workload_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/workload"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

// regional is AWS STS in one Region, for this example. A workload has clients of the SDK instead:
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	east := sts.NewFromConfig(cfg, func(o *sts.Options) { o.Region = "us-east-1" })
type regional struct {
	region string
	idp    *issuertest.Server
	down   bool
}

func (r regional) Options() sts.Options { return sts.Options{Region: r.region} }

func (r regional) GetWebIdentityToken(
	_ context.Context, in *sts.GetWebIdentityTokenInput, _ ...func(*sts.Options),
) (*sts.GetWebIdentityTokenOutput, error) {
	if r.down {
		return nil, errors.New("connection refused")
	}
	return &sts.GetWebIdentityTokenOutput{WebIdentityToken: aws.String(r.idp.Issue(r.idp.Provider().Regions[0].Name, issuertest.Claims{
		Subject: "arn:aws:iam::123456789012:role/orders/worker", ExpiresIn: time.Duration(*in.DurationSeconds) * time.Second,
		Set: map[string]any{
			"aud":                        in.Audience[0],
			"https://sts.amazonaws.com/": map[string]any{"aws_account": "123456789012", "source_region": r.region},
		},
	}))}, nil
}

// A workload gets a token from the Region that answers, and a service accepts it.
func Example() {
	// The service says whom it accepts.
	trust := workload.Trust{
		Issuer: "https://3f9c2a10-0000-4000-8000-000000000001.tokens.sts.global.api.aws", Account: "123456789012",
		Roles: []string{"arn:aws:iam::123456789012:role/orders/worker"},
	}
	policy, err := trust.Policy("https://api.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	idp := issuertest.New(nil, policy.Provider, issuertest.Config{Algorithm: "ES384"}) // for this example; leave it out
	defer idp.Close()
	policy.Provider = idp.Provider()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{policy}})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The workload has a client for each Region.
	source, err := workload.New([]workload.Client{
		regional{region: "us-east-1", idp: idp, down: true}, regional{region: "us-west-2", idp: idp},
	}, workload.Config{Audiences: []string{"https://api.example.com"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	sent, err := source.Token(context.Background()) // or source.Transport, which adds it to HTTP requests
	if err != nil {
		fmt.Println(err)
		return
	}

	token, err := v.Verify(context.Background(), sent.Value())
	if err != nil {
		fmt.Println(err)
		return
	}
	id, _ := workload.IdentityOf(token)
	fmt.Println(id.Role, "with a token of", id.Region)
	// Output: arn:aws:iam::123456789012:role/orders/worker with a token of us-west-2
}
