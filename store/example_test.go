package store_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"github.com/regionjwt/regionjwt/store"
)

// An operator signs a document. A service, which has the public key only, can read it and cannot change it.
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	shared := store.Dir(dir)
	operators := store.PublicKey{Key: public}
	operator := store.Signed(shared, "production", private, operators)
	service := store.Signed(shared, "production", nil, operators)

	ctx := context.Background()
	first, err := operator.Save(ctx, "orders/active", []byte("us-east-1"), "") // there is none yet
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := operator.Save(ctx, "orders/active", []byte("us-west-2"), first); err != nil {
		fmt.Println(err)
		return
	}
	data, revision, err := service.Load(ctx, "orders/active", "")
	fmt.Println(string(data), err)
	_, _, err = service.Load(ctx, "orders/active", revision)
	fmt.Println("not modified:", errors.Is(err, store.ErrNotModified))

	_, err = operator.Save(ctx, "orders/active", []byte("eu-west-1"), first)
	fmt.Println("written meanwhile:", errors.Is(err, store.ErrConflict))
	_, err = service.Save(ctx, "orders/active", []byte("eu-west-1"), revision)
	fmt.Println("cannot write:", err)
	// Output:
	// us-west-2 <nil>
	// not modified: true
	// written meanwhile: true
	// cannot write: store.Signed: there is no private key to sign the document with
}
