package triggers

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"triggers.internal/triggers/apipb"
	"triggers.internal/triggers/rpcpb"
)

// What the protocol says of methods, as the generated packages that are linked have it.

// method is one; options.proto tells what is said of it.
type method struct {
	name       string
	repeatable bool
	waits      bool
}

// Call makes any call: name is its method's, such as "triggers.stats.v1.StatsService/GetStats", request
// its request, and Response the pointer to its response; both are of the generated packages, such as
// statspb. Deadlines, metadata and errors are those of the other calls. A method that may not be
// repeated is sent once: the error says that its connection was lost, or that the core was busy.
func Call[Response proto.Message](ctx context.Context, client *Client, name string, request proto.Message) (Response, error) {
	var none Response
	found, failed := findMethod(name)
	if failed != nil {
		return none, failed
	}
	response, failed := newResponse[Response](found)
	if failed != nil {
		return none, failed
	}
	if accepted := found.Input().FullName(); nameOf(request) != accepted {
		return none, failure(rpcpb.Code_INVALID_ARGUMENT, "REQUEST_INVALID",
			"the request is %T; accepted is %s", request, accepted)
	}
	if err := client.call(ctx, methodOf(found, name), request, response); err != nil {
		return none, err
	}
	return response, nil
}

func methodOf(descriptor protoreflect.MethodDescriptor, name string) method {
	options, _ := proto.GetExtension(descriptor.Options(), apipb.E_Call).(*apipb.Call)
	return method{name, options.GetRepeatable(), options.GetWaits()}
}

func findMethod(name string) (protoreflect.MethodDescriptor, *Error) {
	service, short, _ := strings.Cut(name, "/")
	descriptor, _ := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if found, ok := descriptor.(protoreflect.ServiceDescriptor); ok {
		if method := found.Methods().ByName(protoreflect.Name(short)); method != nil {
			return method, nil
		}
	}
	return nil, failure(rpcpb.Code_INVALID_ARGUMENT, "METHOD_UNKNOWN",
		"no package of messages that is linked has the method %q; methods are named package.Service/Method", name)
}

func newResponse[Response proto.Message](method protoreflect.MethodDescriptor) (Response, *Error) {
	var none Response
	accepted := method.Output().FullName()
	if kind, err := protoregistry.GlobalTypes.FindMessageByName(accepted); err == nil {
		if response, ok := kind.New().Interface().(Response); ok {
			return response, nil
		}
	}
	return none, failure(rpcpb.Code_INVALID_ARGUMENT, "RESPONSE_INVALID",
		"the response is to be %T; accepted is %s", none, accepted)
}

func nameOf(message proto.Message) protoreflect.FullName {
	if message == nil {
		return ""
	}
	return message.ProtoReflect().Descriptor().FullName()
}
