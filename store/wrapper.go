package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/trust"
)

// wrapper is what the stores that have another one inside share.
type wrapper struct {
	what  string // the function that made it
	inner Store
	info  trust.Info
}

// wrap returns a wrapper of inner, with the problems of inner.
func wrap(what string, inner Store) wrapper {
	w := wrapper{what: what, inner: inner}
	if nils.Is(inner) {
		w.problem(errors.New("there is no store to keep documents in"))
		return w
	}
	of := trust.Of(inner)
	w.info.Problems, w.info.Path = of.Problems, of.Path
	return w
}

// problem adds a problem with the arguments.
func (w *wrapper) problem(err error) {
	if err != nil {
		w.info.Problems = append(w.info.Problems, fmt.Errorf("store.%s: %w", w.what, err))
	}
}

func (*wrapper) trusted() {}

// TrustInfo describes the store to the packages of this project.
func (w *wrapper) TrustInfo() trust.Info { return w.info }

// check checks the arguments of a call, and those that the store was made with.
func (w *wrapper) check(ctx context.Context, name string, data []byte) error {
	if len(w.info.Problems) > 0 {
		return errors.Join(w.info.Problems...)
	}
	return document.Check(ctx, name, data)
}

// Watch implements Store.
func (w *wrapper) Watch(ctx context.Context, name string, changed func()) error {
	if err := w.check(ctx, name, nil); err != nil {
		return err
	}
	return w.inner.Watch(ctx, name, changed)
}
