package speed_test

import (
	"encoding/json"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/go-jose/go-jose/v4"
	jwk2 "github.com/lestrrat-go/jwx/v2/jwk"
	jwk3 "github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/regionjwt/regionjwt/jwks"
)

// BenchmarkParse reads a key set of two RSA keys. regionjwt's time includes that of making a Source of it.
func BenchmarkParse(b *testing.B) {
	s := theSite(b, "RS256")
	document := s.document(b)
	for _, l := range []struct {
		name string
		read func() error
	}{
		{"regionjwt", func() error {
			_, err := jwks.NewStatic(map[string][]byte{s.iss: document})
			return err
		}},
		{"keyfunc", func() error {
			_, err := keyfunc.NewJWKSetJSON(document)
			return err
		}},
		{"go-jose", func() error {
			var set jose.JSONWebKeySet
			return json.Unmarshal(document, &set)
		}},
		{"jwx.v2", func() error {
			_, err := jwk2.Parse(document)
			return err
		}},
		{"jwx.v3", func() error {
			_, err := jwk3.Parse(document)
			return err
		}},
	} {
		b.Run(l.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := l.read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
