package triggers.client.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import triggers.client.EventId;

/** The variables of a scenario, the expansion of values, paths and what fits an expected value. */
final class Values {
    private final JsonObject variables;

    Values(JsonObject first) {
        variables = first.deepCopy();
    }

    void set(String name, JsonElement value) {
        variables.add(name, value);
    }

    void makeId(String name) {
        variables.addProperty(name, EventId.make());
    }

    JsonElement expand(JsonElement value) {
        if (value.isJsonArray()) {
            return expandList(value.getAsJsonArray());
        }
        if (value.isJsonObject()) {
            return expandObject(value.getAsJsonObject());
        }
        boolean text = value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
        if (text && value.getAsString().startsWith("$")) {
            return at(variables, value.getAsString().substring(1));
        }
        return value;
    }

    private JsonElement expandList(JsonArray list) {
        JsonArray expanded = new JsonArray();
        for (JsonElement each : list) {
            boolean repeat = each.isJsonObject() && each.getAsJsonObject().has("$repeat");
            int times = repeat ? each.getAsJsonObject().get("$repeat").getAsInt() : 1;
            JsonElement one = expand(repeat ? each.getAsJsonObject().get("value") : each);
            for (int i = 0; i < times; i++) {
                expanded.add(one);
            }
        }
        return expanded;
    }

    private JsonElement expandObject(JsonObject object) {
        if (object.has("$payload_size")) {
            int size = object.get("$payload_size").getAsInt();
            return new JsonPrimitive("{\"a\":\"" + "x".repeat(size - 8) + "\"}");
        }
        if (object.has("$plus")) {
            JsonArray terms = expand(object.get("$plus")).getAsJsonArray();
            return new JsonPrimitive(terms.get(0).getAsLong() + terms.get(1).getAsLong());
        }
        if (object.has("$reversed")) {
            List<JsonElement> list =
                    new ArrayList<>(expand(object.get("$reversed")).getAsJsonArray().asList());
            Collections.reverse(list);
            JsonArray reversed = new JsonArray();
            list.forEach(reversed::add);
            return reversed;
        }
        JsonObject expanded = new JsonObject();
        for (Map.Entry<String, JsonElement> each : object.entrySet()) {
            expanded.add(each.getKey(), expand(each.getValue()));
        }
        return expanded;
    }

    /** What is at the path; null where nothing is. */
    static JsonElement at(JsonElement value, String path) {
        JsonElement here = value;
        String rest = path;
        while (!rest.isEmpty()) {
            String[] parts = rest.split("\\.", 2);
            rest = parts.length > 1 ? parts[1] : "";
            if (parts[0].equals("*")) {
                JsonArray all = new JsonArray();
                for (JsonElement each : here.isJsonArray() ? here.getAsJsonArray() : all) {
                    all.add(at(each, rest));
                }
                return all;
            }
            here = member(here, parts[0]);
        }
        return here;
    }

    private static JsonElement member(JsonElement value, String name) {
        JsonElement found = null;
        if (value.isJsonObject()) {
            found = value.getAsJsonObject().get(name);
        } else if (value.isJsonArray() && Integer.parseInt(name) < value.getAsJsonArray().size()) {
            found = value.getAsJsonArray().get(Integer.parseInt(name));
        }
        return found == null ? JsonNull.INSTANCE : found;
    }

    /** Whether what was found is as expected. */
    static boolean fits(JsonElement expected, JsonElement found) {
        if (expected.isJsonArray()) {
            return found.isJsonArray() && listFits(expected.getAsJsonArray(), found);
        }
        if (!expected.isJsonObject()) {
            return same(expected, found);
        }
        JsonObject rule = expected.getAsJsonObject();
        if (rule.has("$any")) {
            boolean emptyText = found.isJsonPrimitive() && found.getAsString().isEmpty();
            boolean emptyList = found.isJsonArray() && found.getAsJsonArray().isEmpty();
            return !found.isJsonNull() && !emptyText && !emptyList;
        }
        if (rule.has("$not")) {
            return !fits(rule.get("$not"), found);
        }
        if (rule.has("$count")) {
            return found.isJsonArray()
                    && found.getAsJsonArray().size() == rule.get("$count").getAsInt();
        }
        if (rule.has("$between")) {
            JsonArray bounds = rule.getAsJsonArray("$between");
            return isNumber(found)
                    && bounds.get(0).getAsLong() <= found.getAsLong()
                    && found.getAsLong() <= bounds.get(1).getAsLong();
        }
        if (rule.has("$same_elements")) {
            return found.isJsonArray() && sorted(rule.get("$same_elements")).equals(sorted(found));
        }
        throw new AssertionError("an expected value that nobody knows: " + expected);
    }

    private static boolean listFits(JsonArray expected, JsonElement found) {
        JsonArray list = found.getAsJsonArray();
        boolean fits = list.size() == expected.size();
        for (int i = 0; fits && i < list.size(); i++) {
            fits = fits(expected.get(i), list.get(i));
        }
        return fits;
    }

    private static boolean same(JsonElement expected, JsonElement found) {
        if (isNumber(expected) && isNumber(found)) {
            return expected.getAsBigDecimal().compareTo(found.getAsBigDecimal()) == 0;
        }
        return expected.equals(found);
    }

    private static boolean isNumber(JsonElement value) {
        return value.isJsonPrimitive() && value.getAsJsonPrimitive().isNumber();
    }

    private static List<String> sorted(JsonElement list) {
        return list.getAsJsonArray().asList().stream().map(JsonElement::toString).sorted().toList();
    }
}
