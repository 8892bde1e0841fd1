package storetest_test

import (
	"context"
	"fmt"
	"os"

	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/storetest"
)

// forgetful is a store that always saves, whatever was written meanwhile.
type forgetful struct{ store.Store }

func (f forgetful) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if _, revision, err := f.Load(ctx, name, ""); err == nil {
		ifRevision = revision
	}
	return f.Store.Save(ctx, name, data, ifRevision)
}

// A directory fulfills the contract, as two processes see it. Check finds a store that ignores revisions.
func ExampleCheck() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	fmt.Println(storetest.Check(ctx, store.Dir(dir), store.Dir(dir), "directory/"))

	wrong := forgetful{store.Dir(dir)}
	fmt.Println(storetest.Check(ctx, wrong, wrong, "forgetful/") != nil)
	// Output:
	// <nil>
	// true
}
