// Executes clients/conformance with triggers.hpp.
#include <triggers.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "messages.h"
#include "triggers/health/v1/health.pb-c.h"
#include "triggers/stats/v1/stats.pb-c.h"
#include "triggers/v1/access.pb-c.h"
#include "triggers/v1/subscriptions.pb-c.h"
#include "vectors.h"

using Json = nlohmann::ordered_json;

namespace
{

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// ---- values, paths, patterns ----

std::vector<std::string> split(const std::string &path)
{
    std::vector<std::string> names;
    std::istringstream stream(path);
    for (std::string name; std::getline(stream, name, '.');)
        names.push_back(name);
    return names;
}

// Base64 with padding.
std::string decode_base64(const std::string &text)
{
    static const std::string digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    unsigned bits = 0, pending = 0;
    for (char digit : text) {
        if (digit == '=')
            break;
        bits = bits << 6 | static_cast<unsigned>(digits.find(digit));
        pending += 6;
        if (pending >= 8) {
            pending -= 8;
            bytes += static_cast<char>(bits >> pending & 0xFF);
        }
    }
    return bytes;
}

// What a path leads to; null when it is not there.
Json look_up(const Json &value, const std::vector<std::string> &path, std::size_t from = 0)
{
    if (from == path.size())
        return value;
    const std::string &name = path[from];
    if (value.is_array() && name == "*") {
        Json found = Json::array();
        for (const Json &element : value)
            found.push_back(look_up(element, path, from + 1));
        return found;
    }
    if (value.is_array()) {
        std::size_t index = std::stoul(name);
        return index < value.size() ? look_up(value[index], path, from + 1) : Json();
    }
    return value.is_object() && value.contains(name) ? look_up(value[name], path, from + 1)
                                                     : Json();
}

Json expand(const Json &value, const Json &variables);

Json expand_list(const Json &list, const Json &variables)
{
    Json expanded = Json::array();
    for (const Json &element : list) {
        bool repeated = element.is_object() && element.contains("$repeat");
        Json item = expand(repeated ? element["value"] : element, variables);
        for (int left = repeated ? element["$repeat"].get<int>() : 1; left > 0; left--)
            expanded.push_back(item);
    }
    return expanded;
}

// Puts in variables and generated values.
Json expand(const Json &value, const Json &variables)
{
    if (value.is_string() && value.get_ref<const std::string &>().rfind('$', 0) == 0)
        return look_up(variables, split(value.get<std::string>().substr(1)));
    if (value.is_array())
        return expand_list(value, variables);
    if (!value.is_object())
        return value;
    if (value.contains("$payload_size"))
        return "{\"a\":\"" + std::string(value["$payload_size"].get<std::size_t>() - 8, 'x') +
               "\"}";
    if (value.contains("$base64"))
        return decode_base64(value["$base64"]);
    if (value.contains("$reversed")) {
        Json list = expand(value["$reversed"], variables);
        std::reverse(list.begin(), list.end());
        return list;
    }
    if (value.contains("$plus")) {
        Json list = expand(value["$plus"], variables);
        return list[0].get<std::int64_t>() + list[1].get<std::int64_t>();
    }
    Json expanded = Json::object();
    for (const auto &[name, member] : value.items())
        expanded[name] = expand(member, variables);
    return expanded;
}

bool fits(const Json &pattern, const Json &value)
{
    if (!pattern.is_object())
        return pattern == value;
    const std::string &name = pattern.begin().key();
    const Json &wanted = pattern.begin().value();
    if (name == "$any")
        return !value.is_null() && value != "" && value != Json::array();
    if (name == "$not")
        return value != wanted;
    if (name == "$count")
        return value.is_array() && value.size() == wanted;
    if (name == "$between")
        return value.is_number() && value >= wanted[0] && value <= wanted[1];
    if (name == "$same_elements")
        return value.is_array() &&
               std::is_permutation(value.begin(), value.end(), wanted.begin(), wanted.end());
    throw Failure("no pattern is called " + name);
}

std::string shorten(const Json &value)
{
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return text.size() < 300 ? text : text.substr(0, 300) + "…";
}

// What the types of this binding let in of the scenarios' nonsense.
const std::map<std::string, Json> nonsense = {
    {"negative_time", -1},
    {"nul_inside", std::string("evt_01h455vb4pex5vsknk084sn02q\0b", 32)},
};

// ---- calls ----

Json time_json(triggers::Time time)
{
    return time.time_since_epoch().count();
}

Json to_json(const triggers::Event &event)
{
    bool acknowledged = event.status == triggers::Status::acknowledged;
    return {{"event_id", event.event_id},
            {"source", event.source},
            {"event_type", event.event_type},
            {"payload", event.payload},
            {"status", acknowledged ? "ACKNOWLEDGED" : "PENDING"},
            {"created_at", time_json(event.created_at)},
            {"acknowledged_at", event.acknowledged_at ? time_json(*event.acknowledged_at) : Json()},
            {"sequence", event.sequence},
            {"payload_erased", event.payload_erased},
            {"ordering_key", event.ordering_key},
            {"deliver_at", event.deliver_at ? time_json(*event.deliver_at) : Json()}};
}

Json to_json(const triggers::Created &created)
{
    return {{"event_id", created.event_id},
            {"created_at", time_json(created.created_at)},
            {"sequence", created.sequence}};
}

Json to_json(const triggers::Acknowledged &acked)
{
    return {{"event_id", acked.event_id}, {"acknowledged_at", time_json(acked.acknowledged_at)}};
}

Json to_json(const triggers::Erased &erased)
{
    return {{"event_id", erased.event_id}, {"sequence", erased.sequence}};
}

Json to_json(const triggers::Error &error)
{
    Json fields = Json::array();
    for (const triggers::Violation &violation : error.violations())
        fields.push_back(violation.field);
    return {{"code", error.code_name()},
            {"reason", error.reason()},
            {"message", error.what()},
            {"fields", fields},
            {"retry_delay_ms", error.retry_delay().count()},
            {"retryable", error.retryable()},
            {"first_sequence", error.first_sequence()}};
}

template <class T> Json to_json(const std::vector<triggers::Result<T>> &results)
{
    Json list = Json::array();
    for (const auto &result : results)
        list.push_back(result ? to_json(result.value())
                              : Json{{"error", to_json(*result.error())}});
    return {{"results", list}};
}

Json to_json(const std::vector<triggers::Event> &events)
{
    Json list = Json::array();
    for (const triggers::Event &event : events)
        list.push_back(to_json(event));
    return list;
}

Json to_json(const triggers::Page &page)
{
    return {{"events", to_json(page.events)}, {"next_page_token", page.next_page_token}};
}

Json to_json(const triggers::LogPage &page)
{
    return {{"events", to_json(page.events)},
            {"next_after", page.next_after},
            {"first_sequence", page.first_sequence}};
}

Json to_json(const triggers::KindPage &page)
{
    Json kinds = Json::array();
    for (const triggers::Kind &kind : page.kinds)
        kinds.push_back({{"source", kind.source}, {"event_type", kind.event_type}});
    return {{"kinds", kinds}, {"next_page_token", page.next_page_token}};
}

Json to_json(const triggers::Health &health)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING"};
    return {{"status", names[static_cast<int>(health.serving)]},
            {"version", health.version},
            {"store", health.store}};
}

std::optional<triggers::Time> time_of(const Json &fields, const char *name)
{
    if (!fields.contains(name))
        return std::nullopt;
    return triggers::Time(std::chrono::microseconds(fields[name].get<std::int64_t>()));
}

triggers::NewEvent new_event(const Json &request)
{
    triggers::NewEvent event{request["source"], request["event_type"], request["payload"]};
    if (request.contains("event_id"))
        event.event_id = request["event_id"];
    if (request.contains("idempotency_key"))
        event.idempotency_key = request["idempotency_key"];
    event.ordering_key = request.value("ordering_key", "");
    event.deliver_at = time_of(request, "deliver_at");
    event.delay = std::chrono::seconds(request.value("delay_seconds", 0));
    return event;
}

triggers::Filter filter_of(const Json &request)
{
    const Json given = request.value("filter", Json::object());
    triggers::Filter filter;
    filter.sources = given.value("sources", std::vector<std::string>());
    filter.event_types = given.value("event_types", std::vector<std::string>());
    filter.from_time = time_of(given, "from_time");
    filter.until_time = time_of(given, "until_time");
    return filter;
}

triggers::ListRequest list_request(const Json &request)
{
    triggers::ListRequest list;
    if (request.value("status", "") == "ACKNOWLEDGED")
        list.status = triggers::Status::acknowledged;
    if (request.value("order", "") == "OLDEST_FIRST")
        list.order = triggers::Order::oldest_first;
    list.page_size = request.value("page_size", 0);
    list.page_token = request.value("page_token", "");
    list.filter = filter_of(request);
    return list;
}

triggers::LogRequest log_request(const Json &request)
{
    triggers::LogRequest log;
    log.after = request.value("after", std::int64_t{0});
    log.page_size = request.value("page_size", 0);
    log.wait = triggers::Timeout(request.value("wait_ms", 0));
    log.filter = filter_of(request);
    return log;
}

Json follow(const triggers::Client &client, const Json &request, triggers::Timeout timeout)
{
    const std::size_t count = request["count"];
    std::vector<triggers::Event> events;
    triggers::Follower follower(client, log_request(request), timeout);
    for (const triggers::Event &event : follower) {
        events.push_back(event);
        if (events.size() == count)
            break;
    }
    follower.stop();
    if (follower.next())
        throw Failure("a follower that was stopped has another event");
    return {{"events", to_json(events)}, {"next_after", follower.next_after()}};
}

// Some workers share a client until enough handlers have ended.
class Shift
{
  public:
    explicit Shift(const Json &request) : request_(request)
    {
    }

    Json work(const triggers::Client &client)
    {
        triggers::WorkOptions options;
        options.concurrency = request_.value("concurrency", 1u);
        options.lease = std::chrono::seconds(request_.value("lease_seconds", 0));
        std::list<triggers::Worker> workers;
        for (int left = request_.value("workers", 1); left > 0; left--)
            workers.emplace_back(
                client, request_["subscription"].get<std::string>(),
                [this](const triggers::Delivery &delivery) { handle(delivery); }, options);
        while (!is_handled() && !workers.front().wait_for(std::chrono::milliseconds(1)))
            continue;
        for (triggers::Worker &worker : workers)
            worker.stop();
        for (triggers::Worker &worker : workers)
            worker.wait();
        return {{"deliveries", deliveries_}};
    }

  private:
    void handle(const triggers::Delivery &delivery)
    {
        const std::size_t place = begin(delivery);
        const bool lost =
            delivery.wait_lost(std::chrono::milliseconds(request_.value("handle_ms", 0)));
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            deliveries_[place]["lost"] = lost;
            handled_++;
            changed_.notify_all();
        }
        if (request_.contains("fail"))
            throw std::runtime_error(request_["fail"].get<std::string>());
    }

    std::size_t begin(const triggers::Delivery &delivery)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        deliveries_.push_back({{"event_id", delivery.event.event_id},
                               {"attempt", delivery.attempt},
                               {"lost", false}});
        return deliveries_.size() - 1;
    }

    // Waits a while.
    bool is_handled()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        return changed_.wait_for(lock, std::chrono::milliseconds(20),
                                 [this] { return handled_ >= request_.value("count", 1); });
    }

    const Json &request_;
    std::mutex mutex_;
    std::condition_variable changed_;
    Json deliveries_ = Json::array();
    int handled_ = 0;
};

Json check(const triggers::Client &client, std::string service, triggers::Timeout timeout)
{
    Triggers__Health__V1__HealthCheckRequest message =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    message.service = service.data();
    const auto answer = client.call<Triggers__Health__V1__HealthCheckResponse>(
        "triggers.health.v1.Health/Check", message, timeout);
    const ProtobufCEnumValue *status = protobuf_c_enum_descriptor_get_value(
        &triggers__health__v1__health_check_response__serving_status__descriptor, answer->status);
    return {{"status", status ? status->name : ""},
            {"version", answer->version},
            {"store", answer->store}};
}

using AnyCall = Json(const triggers::Client &, const std::string &, const std::string &,
                     triggers::Timeout);

// The generic call with a request in JSON.
template <class Request, class Response, const ProtobufCMessageDescriptor *type>
Json call_any(const triggers::Client &client, const std::string &method, const std::string &request,
              triggers::Timeout timeout)
{
    const auto free_message = [](ProtobufCMessage *message) {
        protobuf_c_message_free_unpacked(message, nullptr);
    };
    const std::unique_ptr<ProtobufCMessage, void (*)(ProtobufCMessage *)> message(
        messages_read(type, request.data(), request.size()), free_message);
    const auto answer =
        client.call<Response>(method, *reinterpret_cast<const Request *>(message.get()), timeout);
    const std::unique_ptr<char, void (*)(void *)> text(messages_write(&answer->base), std::free);
    return Json::parse(text.get());
}

// By the method's name in scenarios.
#define ANY(service, Name, name)                                                                   \
    {                                                                                              \
        service #Name, call_any<Triggers__V1__##Name##Request, Triggers__V1__##Name##Response,     \
                                &triggers__v1__##name##_request__descriptor>                       \
    }
const std::map<std::string, AnyCall *> any_calls = {
    ANY("SubscriptionService/", PutSubscription, put_subscription),
    ANY("SubscriptionService/", GetSubscription, get_subscription),
    ANY("SubscriptionService/", ListSubscriptions, list_subscriptions),
    ANY("SubscriptionService/", DeleteSubscription, delete_subscription),
    ANY("SubscriptionService/", Pull, pull),
    ANY("SubscriptionService/", Ack, ack),
    ANY("SubscriptionService/", Nack, nack),
    ANY("SubscriptionService/", Extend, extend),
    ANY("SubscriptionService/", Release, release),
    ANY("SubscriptionService/", Seek, seek),
    ANY("SubscriptionService/", ListDeadLetters, list_dead_letters),
    ANY("SubscriptionService/", RedriveDeadLetters, redrive_dead_letters),
    ANY("SubscriptionService/", DeleteDeadLetters, delete_dead_letters),
    ANY("AccessService/", PutTenant, put_tenant),
    ANY("AccessService/", GetTenant, get_tenant),
    ANY("AccessService/", ListTenants, list_tenants),
    ANY("AccessService/", SuspendTenant, suspend_tenant),
    ANY("AccessService/", ResumeTenant, resume_tenant),
    ANY("AccessService/", DeleteTenant, delete_tenant),
    ANY("AccessService/", CreateKey, create_key),
    ANY("AccessService/", GetKey, get_key),
    ANY("AccessService/", ListKeys, list_keys),
    ANY("AccessService/", RotateKey, rotate_key),
    ANY("AccessService/", RevokeKey, revoke_key),
    ANY("AccessService/", ListAuditRecords, list_audit_records),
};

Json call(const triggers::Client &client, const std::string &method, const Json &request,
          triggers::Timeout timeout)
{
    if (method == "create")
        return to_json(client.create(new_event(request), timeout));
    if (method == "create_batch") {
        std::vector<triggers::NewEvent> events;
        for (const Json &event : request["events"])
            events.push_back(new_event(event));
        return to_json(client.create_batch(events, timeout));
    }
    if (method == "get")
        return to_json(client.get(request["event_id"], timeout));
    if (method == "list")
        return to_json(client.list(list_request(request), timeout));
    if (method == "list_all") {
        Json events = Json::array();
        for (const triggers::Event &event : client.inbox(list_request(request), timeout))
            events.push_back(to_json(event));
        return {{"events", events}};
    }
    if (method == "list_events")
        return to_json(client.list_events(log_request(request), timeout));
    if (method == "follow")
        return follow(client, request, timeout);
    const auto any = any_calls.find(method);
    if (any != any_calls.end())
        return any->second(client, "triggers.v1." + method, request.dump(), timeout);
    if (method == "work")
        return Shift(request).work(client);
    if (method == "list_kinds")
        return to_json(client.list_kinds(
            {request.value("page_size", 0), request.value("page_token", "")}, timeout));
    if (method == "ack")
        return to_json(client.ack(request["event_id"], timeout));
    if (method == "erase")
        return to_json(client.erase(request["event_id"], timeout));
    if (method == "ack_batch")
        return to_json(client.ack_batch(request["event_ids"], timeout));
    if (method == "health")
        return to_json(client.health(timeout));
    if (method == "check")
        return check(client, request["service"], timeout);
    if (method == "stats") {
        const Triggers__Stats__V1__GetStatsRequest message =
            TRIGGERS__STATS__V1__GET_STATS_REQUEST__INIT;
        const auto answer = client.call<Triggers__Stats__V1__GetStatsResponse>(
            "triggers.stats.v1.StatsService/GetStats", message, timeout);
        return {{"text", answer->text}};
    }
    throw Failure("no method is called " + method);
}

Json outcome_of(const std::function<Json()> &make)
{
    const auto start = std::chrono::steady_clock::now();
    Json outcome;
    try {
        outcome = {{"code", "OK"}, {"response", make()}};
    } catch (const triggers::Error &error) {
        outcome = to_json(error);
    }
    const auto elapsed = std::chrono::steady_clock::now() - start;
    outcome["elapsed_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count();
    return outcome;
}

// ---- steps ----

void say(const Json &line)
{
    std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
}

class Scenario
{
  public:
    Scenario(const Json &data, Json variables) : data_(data), variables_(std::move(variables))
    {
    }

    void run()
    {
        int number = 0;
        for (const Json &step : data_["steps"]) {
            number++;
            try {
                run_step(step);
            } catch (const std::exception &failure) {
                throw Failure("step " + std::to_string(number) + ": " + failure.what());
            }
        }
    }

  private:
    void run_step(const Json &step)
    {
        if (step.contains("new_ids")) {
            for (const Json &name : step["new_ids"])
                variables_[name.get<std::string>()] = triggers::make_event_id();
        } else if (step.contains("harness")) {
            say({{"harness", expand(step["harness"], variables_)}});
            std::string line;
            std::getline(std::cin, line);
            Json answer = Json::parse(line);
            if (!answer["ok"])
                throw Failure(answer["detail"]);
        } else if (step.contains("nonsense")) {
            for (const Json &name : step["nonsense"])
                make_nonsense_call(step, name);
        } else {
            make_calls(step);
        }
    }

    void make_nonsense_call(const Json &step, const std::string &name)
    {
        const auto found = nonsense.find(name);
        if (found == nonsense.end())
            return;
        variables_["nonsense"] = found->second;
        try {
            make_calls(step);
        } catch (const Failure &failure) {
            throw Failure(name + ": " + failure.what());
        }
    }

    // Gives these keys, the last one again and again.
    static std::function<std::string()> in_turn(std::vector<std::string> keys)
    {
        return [keys = std::move(keys), next = std::size_t(0)]() mutable {
            const std::string &key = keys[next];
            next = std::min(next + 1, keys.size() - 1);
            return key;
        };
    }

    void open()
    {
        Json given = expand(data_.value("client", Json{{"urls", {"$url"}}}), variables_);
        triggers::Options options;
        for (const Json &url : given["urls"])
            options.urls += (options.urls.empty() ? "" : ",") + url.get<std::string>();
        options.ca_file = given.value("ca_file", "");
        options.timeout = triggers::Timeout(given.value("timeout_ms", 0));
        options.api_key = given.value("api_key", "");
        if (given.contains("api_keys"))
            options.api_key_source = in_turn(given["api_keys"].get<std::vector<std::string>>());
        if (given.contains("api_key_file"))
            options.api_key_source = [path = given["api_key_file"].get<std::string>()] {
                std::string key;
                std::ifstream(path) >> key;
                return key;
            };
        client_.emplace(options);
    }

    void make_calls(const Json &step)
    {
        if (!client_)
            open();
        const Json request = expand(step.value("request", Json::object()), variables_);
        const triggers::Timeout timeout(
            expand(step.value("timeout_ms", Json(0)), variables_).get<int>());
        const auto policy =
            step.value("parallel", false) ? std::launch::async : std::launch::deferred;
        std::vector<std::future<Json>> calls;
        for (int i = 0; i < step.value("times", 1); i++)
            calls.push_back(std::async(policy, [&] {
                return outcome_of([&] { return call(*client_, step["call"], request, timeout); });
            }));
        Json outcomes = Json::array();
        for (auto &each : calls)
            outcomes.push_back(each.get());
        check(step, outcomes);
        const Json wanted = step.value("save", Json::object());
        for (const auto &[name, path] : wanted.items())
            variables_[name] = look_up(
                outcomes, split((step.contains("times") ? "*." : "0.") + path.get<std::string>()));
    }

    void check(const Json &step, const Json &outcomes)
    {
        Json expected = {{"code", "OK"}};
        expected.update(expand(step.value("expect", Json::object()), variables_));
        for (const Json &outcome : outcomes) {
            for (const auto &[path, pattern] : expected.items()) {
                Json found = look_up(outcome, split(path));
                if (!fits(pattern, found))
                    throw Failure(path + " is " + shorten(found) + " instead of " +
                                  shorten(pattern) + " in " + shorten(outcome));
            }
        }
    }

    const Json &data_;
    Json variables_;
    std::optional<triggers::Client> client_;
};

void report(const std::string &name, const std::function<void()> &check)
{
    const char *only = std::getenv("TRIGGERS_CONFORMANCE_ONLY");
    if (only && *only &&
        ("," + std::string(only) + ",").find("," + name + ",") == std::string::npos)
        return;
    std::string detail;
    try {
        check();
    } catch (const std::exception &failure) {
        detail = failure.what();
    }
    say({{"scenario", name}, {"passed", detail.empty()}, {"detail", detail}});
}

// The messages and ids of this binding are those of libtriggers.
void check_vectors(const std::string &folder, const std::string &name)
{
    char detail[512] = "";
    if (!vectors_check(folder.c_str(), name.c_str(), detail, sizeof(detail)))
        throw Failure(detail);
}

Json read_file(const std::filesystem::path &path)
{
    std::ifstream file(path);
    return Json::parse(file);
}

} // namespace

int main()
{
    const char *folder = std::getenv("TRIGGERS_CONFORMANCE");
    const char *variables = std::getenv("TRIGGERS_CONFORMANCE_VARIABLES");
    if (!folder || !variables) {
        std::cerr << "run by the harness of clients/conformance; see its README\n";
        return 2;
    }
    const std::filesystem::path root(folder);
    std::vector<std::filesystem::path> files;
    for (const auto &entry : std::filesystem::directory_iterator(root / "scenarios"))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto &file : files) {
        const Json scenarios = read_file(file);
        for (const Json &data : scenarios)
            report(data["name"], [&] { Scenario(data, Json::parse(variables)).run(); });
    }
    for (const char *name : {"vectors/envelope", "vectors/typeid"})
        report(name, [&] { check_vectors(folder, name); });
    return 0;
}
