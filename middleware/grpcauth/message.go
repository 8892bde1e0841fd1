package grpcauth

import (
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// buffer is a message to receive into, instead of the one that a handler gave to Recv: a late write changes only the buffer.
type buffer struct {
	message any
	move    func() // fills the handler's message; the buffer is not used afterwards
}

func newBuffer(m any) (buffer, error) {
	if p, ok := m.(proto.Message); ok {
		to := p.ProtoReflect()
		from := to.New()
		return buffer{from.Interface(), func() { move(to, from) }}, nil
	}
	to := reflect.ValueOf(m) // of another codec
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return buffer{}, status.Error(codes.Internal, "grpcauth: a message to receive into is not a pointer")
	}
	from := reflect.New(to.Type().Elem())
	return buffer{from.Interface(), func() { to.Elem().Set(from.Elem()) }}, nil
}

// move makes to equal to from, without a deep copy.
func move(to, from protoreflect.Message) {
	proto.Reset(to.Interface())
	from.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(field, v)
		return true
	})
	to.SetUnknown(from.GetUnknown())
}
