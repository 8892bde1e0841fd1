// Package joined makes one source of revocation rules of several, for package regionjwt, in a form that package verifier takes
// apart again. So each is asked, and its changes are noticed, as if it were the only one.
package joined

// Source is a verifier.Revocation, of which package verifier defines the type.
type Source[Token any] interface {
	Revoked(t Token) (ruleID string, err error)
	Changed() <-chan struct{}
}

// Of holds several sources. A token is revoked if one of them says so.
type Of[Token any, S Source[Token]] []S

// Revoked asks each source.
func (o Of[Token, S]) Revoked(t Token) (ruleID string, err error) {
	var failed error
	for _, s := range o {
		switch id, err := s.Revoked(t); {
		case err != nil:
			failed = err
		case id != "":
			return id, nil
		}
	}
	return "", failed
}

// Changed returns nil: package verifier asks the sources themselves.
func (Of[Token, S]) Changed() <-chan struct{} { return nil }
