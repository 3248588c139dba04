package triggers.client.conformance;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import java.util.stream.Stream;
import triggers.client.TriggersClient;
import triggers.v1.Access;
import triggers.v1.Events;
import triggers.v1.Subscriptions;

/** The generic call of a method by its name in a scenario, with messages as JSON. */
final class AnyCall {
    private AnyCall() {}

    static JsonObject make(TriggersClient client, String name, JsonObject request) {
        MethodDescriptor method = find(name);
        DynamicMessage response =
                client.call(
                        "triggers.v1." + name,
                        read(DynamicMessage.newBuilder(method.getInputType()), request),
                        DynamicMessage.getDefaultInstance(method.getOutputType())
                                .getParserForType());
        return write(response);
    }

    private static MethodDescriptor find(String name) {
        return Stream.of(
                        Access.getDescriptor(),
                        Events.getDescriptor(),
                        Subscriptions.getDescriptor())
                .flatMap(file -> file.getServices().stream())
                .flatMap(service -> service.getMethods().stream())
                .filter(each -> name.equals(each.getService().getName() + "/" + each.getName()))
                .findFirst()
                .orElseThrow(() -> new AssertionError("an unknown method: " + name));
    }

    private static DynamicMessage read(DynamicMessage.Builder message, JsonObject json) {
        try {
            JsonFormat.parser().merge(json.toString(), message);
        } catch (InvalidProtocolBufferException e) {
            throw new AssertionError("no such message: " + json, e);
        }
        return message.build();
    }

    private static JsonObject write(DynamicMessage message) {
        try {
            String text = JsonFormat.printer().preservingProtoFieldNames().print(message);
            return JsonParser.parseString(text).getAsJsonObject();
        } catch (InvalidProtocolBufferException e) {
            throw new AssertionError("a message that JSON cannot express", e);
        }
    }
}
