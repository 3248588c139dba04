package triggers.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import java.util.Objects;
import java.util.stream.Stream;
import triggers.api.v1.Options;

/** What the .proto files say of a method; options.proto tells what that means. */
record Method(String name, boolean repeatable) {

    /**
     * The method of this name, which has these messages.
     *
     * @throws IllegalArgumentException if there is none, or it has others
     */
    static Method of(String name, Message request, Parser<? extends Message> response) {
        Objects.requireNonNull(request, "request");
        Message empty = emptyOf(Objects.requireNonNull(response, "response"));
        MethodDescriptor method = find(Objects.requireNonNull(name, "method"), request, empty);
        if (!method.getInputType().equals(request.getDescriptorForType())) {
            throw wrong("request", request, method.getInputType().getFullName());
        }
        if (!method.getOutputType().equals(empty.getDescriptorForType())) {
            throw wrong("response", empty, method.getOutputType().getFullName());
        }
        triggers.api.v1.Call call = method.getOptions().getExtension(Options.call);
        return new Method(name, call.getRepeatable());
    }

    /** A method's messages, or one of them, are declared in the file that it is declared in. */
    private static MethodDescriptor find(String name, Message request, Message response) {
        return Stream.of(request, response)
                .map(message -> message.getDescriptorForType().getFile())
                .map(FileDescriptor::getServices)
                .flatMap(services -> services.stream().map(ServiceDescriptor::getMethods))
                .flatMap(methods -> methods.stream())
                .filter(each -> name.equals(nameOf(each)))
                .findFirst()
                .orElseThrow(
                        () ->
                                new IllegalArgumentException(
                                        "the file of these messages has no method "
                                                + name
                                                + "; methods are named package.Service/Method"));
    }

    private static String nameOf(MethodDescriptor method) {
        return method.getService().getFullName() + "/" + method.getName();
    }

    private static Message emptyOf(Parser<? extends Message> parser) {
        try {
            return parser.parseFrom(ByteString.EMPTY);
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalArgumentException("not the parser of a message of proto3", e);
        }
    }

    private static IllegalArgumentException wrong(String what, Message given, String accepted) {
        String type = given.getDescriptorForType().getFullName();
        return new IllegalArgumentException(
                "the " + what + " is a " + type + "; accepted is " + accepted);
    }
}
