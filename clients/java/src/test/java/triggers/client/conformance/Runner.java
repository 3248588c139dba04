package triggers.client.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Executes all of clients/conformance and reports it in lines of JSON; see the README there. */
public final class Runner {
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();

    /** What Java's types let in of the scenarios' nonsense. */
    private static final Map<String, JsonElement> NONSENSE =
            Map.of(
                    "null", JsonNull.INSTANCE,
                    "negative_time", new JsonPrimitive(-1),
                    "no_time", new JsonPrimitive(0),
                    "half_surrogate", new JsonPrimitive("\ud800"),
                    "half_surrogate_payload", new JsonPrimitive("{\"a\":\"\ud800\"}"),
                    "nul_inside", new JsonPrimitive("evt_01h455vb4pex5vsknk084sn02q\0b"));

    private final Path folder = Path.of(System.getenv("TRIGGERS_CONFORMANCE"));
    private final JsonObject variables =
            parse(System.getenv("TRIGGERS_CONFORMANCE_VARIABLES")).getAsJsonObject();
    private final String only = System.getenv().getOrDefault("TRIGGERS_CONFORMANCE_ONLY", "");
    private final BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private Runner() {}

    /** Something worth an exit status of its own is an exception. */
    public static void main(String[] arguments) throws IOException {
        new Runner().run();
    }

    static JsonElement parse(String text) {
        return JsonParser.parseString(text);
    }

    private interface Work {
        void run() throws Exception;
    }

    private void run() throws IOException {
        List<Path> files = new ArrayList<>();
        try (DirectoryStream<Path> listed =
                Files.newDirectoryStream(folder.resolve("scenarios"), "*.json")) {
            listed.forEach(files::add);
        }
        files.sort(null);
        for (Path file : files) {
            for (JsonElement each : read(file).getAsJsonArray()) {
                JsonObject scenario = each.getAsJsonObject();
                report(scenario.get("name").getAsString(), () -> execute(scenario));
            }
        }
        JsonElement envelope = read(folder.resolve("vectors/envelope.json"));
        report("vectors/envelope", () -> Vectors.checkEnvelope(envelope.getAsJsonObject()));
        JsonElement typeId = read(folder.resolve("vectors/typeid.json"));
        report("vectors/typeid", () -> Vectors.checkTypeId(typeId.getAsJsonObject()));
    }

    private static JsonElement read(Path file) throws IOException {
        return parse(Files.readString(file));
    }

    private void report(String name, Work work) {
        if (!only.isEmpty() && !List.of(only.split(",")).contains(name)) {
            return;
        }
        String detail = "";
        try {
            work.run();
        } catch (Exception | AssertionError e) {
            detail = e instanceof AssertionError ? e.getMessage() : e.toString();
        }
        JsonObject line = new JsonObject();
        line.addProperty("scenario", name);
        line.addProperty("passed", detail.isEmpty());
        line.addProperty("detail", detail.substring(0, Math.min(detail.length(), 2000)));
        out.println(GSON.toJson(line));
    }

    private void execute(JsonObject scenario) throws Exception {
        Values values = new Values(variables);
        JsonElement options = scenario.has("client") ? scenario.get("client") : defaultClient();
        try (Calls calls = new Calls(values.expand(options).getAsJsonObject())) {
            int number = 1;
            for (JsonElement step : scenario.getAsJsonArray("steps")) {
                try {
                    execute(step.getAsJsonObject(), values, calls);
                } catch (AssertionError e) {
                    throw new AssertionError("step " + number + ": " + e.getMessage(), e);
                }
                number++;
            }
        }
    }

    private static JsonElement defaultClient() {
        return parse("{\"urls\": [\"$url\"]}");
    }

    private void execute(JsonObject step, Values values, Calls calls) throws Exception {
        if (step.has("new_ids")) {
            for (JsonElement name : step.getAsJsonArray("new_ids")) {
                values.makeId(name.getAsString());
            }
        } else if (step.has("harness")) {
            ask(values.expand(step.get("harness")));
        } else if (step.has("nonsense")) {
            for (JsonElement name : step.getAsJsonArray("nonsense")) {
                callWithNonsense(name.getAsString(), step, values, calls);
            }
        } else {
            call(step, values, calls);
        }
    }

    private void callWithNonsense(String name, JsonObject step, Values values, Calls calls)
            throws Exception {
        JsonElement value = NONSENSE.get(name);
        if (value == null) {
            return;
        }
        values.set("nonsense", value);
        try {
            call(step, values, calls);
        } catch (AssertionError e) {
            throw new AssertionError(name + ": " + e.getMessage(), e);
        }
    }

    private void ask(JsonElement wish) throws IOException {
        JsonObject line = new JsonObject();
        line.add("harness", wish);
        out.println(GSON.toJson(line));
        String answer = in.readLine();
        check(answer != null, "the harness is gone");
        JsonObject said = parse(answer).getAsJsonObject();
        check(said.get("ok").getAsBoolean(), "harness: " + said.get("detail"));
    }

    private void call(JsonObject step, Values values, Calls calls) throws Exception {
        JsonElement request = step.has("request") ? step.get("request") : new JsonObject();
        JsonElement timeout = step.has("timeout_ms") ? step.get("timeout_ms") : JsonNull.INSTANCE;
        List<JsonObject> outcomes =
                calls.make(step, values.expand(request).getAsJsonObject(), values.expand(timeout));
        JsonObject expect = step.has("expect") ? step.getAsJsonObject("expect") : new JsonObject();
        for (JsonObject outcome : outcomes) {
            if (!expect.has("code")) {
                compare("code", parse("\"OK\""), outcome);
            }
            for (Map.Entry<String, JsonElement> each : expect.entrySet()) {
                compare(each.getKey(), values.expand(each.getValue()), outcome);
            }
        }
        if (step.has("save")) {
            save(step, values, outcomes);
        }
    }

    private static void save(JsonObject step, Values values, List<JsonObject> outcomes) {
        for (Map.Entry<String, JsonElement> each : step.getAsJsonObject("save").entrySet()) {
            JsonArray found = new JsonArray();
            outcomes.forEach(one -> found.add(Values.at(one, each.getValue().getAsString())));
            values.set(each.getKey(), step.has("times") ? found : found.get(0));
        }
    }

    private static void compare(String path, JsonElement expected, JsonObject outcome) {
        JsonElement found = Values.at(outcome, path);
        if (!Values.fits(expected, found)) {
            String text = path + " is " + shorten(found) + " instead of " + shorten(expected);
            throw new AssertionError(text + "; outcome " + shorten(outcome));
        }
    }

    private static String shorten(JsonElement value) {
        String text = GSON.toJson(value);
        return text.length() > 600 ? text.substring(0, 600) + "…" : text;
    }

    static void check(boolean holds, String problem) {
        if (!holds) {
            throw new AssertionError(problem);
        }
    }
}
