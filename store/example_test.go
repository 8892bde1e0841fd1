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
	operator, err := store.Signed(shared, "orders", store.Signing{Public: []ed25519.PublicKey{public}, Private: private})
	if err != nil {
		fmt.Println(err)
		return
	}
	service, err := store.Signed(shared, "orders", store.Signing{Public: []ed25519.PublicKey{public}})
	if err != nil {
		fmt.Println(err)
		return
	}

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
	d, err := service.Load(ctx, "orders/active")
	fmt.Println(string(d.Data), err)

	_, err = operator.Save(ctx, "orders/active", []byte("eu-west-1"), first)
	fmt.Println("written meanwhile:", errors.Is(err, store.ErrConflict))
	_, err = service.Save(ctx, "orders/active", []byte("eu-west-1"), d.Revision)
	fmt.Println("may not write:", errors.Is(err, store.ErrNoPrivateKey))
	// Output:
	// us-west-2 <nil>
	// written meanwhile: true
	// may not write: true
}
