// Package nils finds values that are set but cannot be used: an interface that holds a nil pointer, a logger without a handler.
package nils

import (
	"log/slog"
	"reflect"
)

// Is reports whether v is nil, or holds a nil pointer, function, map or channel. A nil slice is an empty one, and fine.
func Is(v any) bool { return v == nil || Typed(v) }

// Typed reports whether v is set and holds nil. It is for collaborators that may be left out.
func Typed(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Chan, reflect.UnsafePointer:
		return r.IsNil()
	default:
		return false
	}
}

// Logger reports whether l is set and its handler is nil: to log would panic. A nil l may be left out.
func Logger(l *slog.Logger) bool { return l != nil && Is(l.Handler()) }
