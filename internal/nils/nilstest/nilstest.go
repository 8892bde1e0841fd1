// Package nilstest calls the methods of values that no constructor has made, for the tests of several packages.
package nilstest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// most is how long a method may take.
const most = 10 * time.Second

// Methods calls each exported method of each value, and fails where one panics, does not return, or returns a nil error. The
// text of an error has to hold constructor: "New". A name in safe, such as "Cache.Close", may return no error.
//
// Arguments are the first of args that fits, otherwise zero values; a function returns zero values, a context is alive.
func Methods(t *testing.T, constructor string, safe []string, args []any, values ...any) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	args = append([]any{ctx}, args...)
	for _, v := range values {
		of := reflect.ValueOf(v)
		for i := range of.NumMethod() {
			name := strings.TrimPrefix(fmt.Sprintf("%T.%s", v, of.Type().Method(i).Name), "*")
			_, short, _ := strings.Cut(name, ".")
			out, ok := call(t, name, of.Method(i), args)
			if !ok || len(out) == 0 {
				continue
			}
			last := out[len(out)-1]
			if last.Type() != reflect.TypeFor[error]() {
				continue
			}
			err, _ := reflect.TypeAssert[error](last)
			switch listed := slices.Contains(safe, short); {
			case err == nil && !listed:
				t.Errorf("%s: nil=%v: no error", name, isNil(of))
			case err != nil && !strings.Contains(err.Error(), constructor):
				t.Errorf("%s: the error does not name %s: %v", name, constructor, err)
			}
		}
	}
}

// Panics fails unless each exported method of each value panics, except LogValue, which a logger calls.
func Panics(t *testing.T, args []any, values ...any) {
	t.Helper()
	for _, v := range values {
		of := reflect.ValueOf(v)
		for i := range of.NumMethod() {
			if name := of.Type().Method(i).Name; name == "LogValue" {
				continue
			}
			if _, value := try(of.Method(i), args); value == nil {
				t.Errorf("%T.%s does not panic", v, of.Type().Method(i).Name)
			}
		}
	}
}

// call calls a method, and reports whether it returned.
func call(t *testing.T, name string, method reflect.Value, args []any) (out []reflect.Value, ok bool) {
	t.Helper()
	type outcome struct {
		out   []reflect.Value
		value any
	}
	done := make(chan outcome, 1)
	go func() {
		out, value := try(method, args)
		done <- outcome{out, value}
	}()
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case o := <-done:
		if o.value != nil {
			t.Errorf("%s panics: %v", name, o.value)
			return nil, false
		}
		return o.out, true
	case <-late.C:
		t.Errorf("%s does not return", name)
		return nil, false
	}
}

// try calls a method, and returns what it panicked with.
func try(method reflect.Value, args []any) (out []reflect.Value, value any) {
	defer func() { value = recover() }() //nolint:forbidigo // that is what it looks for
	in := make([]reflect.Value, 0, method.Type().NumIn())
	for i := range method.Type().NumIn() {
		if method.Type().IsVariadic() && i == method.Type().NumIn()-1 {
			break
		}
		in = append(in, argument(method.Type().In(i), args))
	}
	return method.Call(in), nil
}

func argument(wanted reflect.Type, args []any) reflect.Value {
	for _, a := range args {
		if a != nil && reflect.TypeOf(a).AssignableTo(wanted) {
			return reflect.ValueOf(a)
		}
	}
	if wanted.Kind() == reflect.Func {
		return reflect.MakeFunc(wanted, func([]reflect.Value) []reflect.Value {
			out := make([]reflect.Value, wanted.NumOut())
			for i := range out {
				out[i] = reflect.Zero(wanted.Out(i))
			}
			return out
		})
	}
	return reflect.Zero(wanted)
}

func isNil(v reflect.Value) bool { return v.Kind() == reflect.Pointer && v.IsNil() }
