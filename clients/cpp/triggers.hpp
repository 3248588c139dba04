// C++17 over libtriggers: values instead of pointers, exceptions instead of codes, futures instead
// of callbacks. Header only; link with libtriggers (pkg-config triggers).
//
//     triggers::Client client;
//     auto created = client.create({"crm", "lead.created", R"({"name":"Ada"})"});
//     for (const auto& event : client.inbox()) client.ack(event.event_id);
//
// A Client may be shared by any number of threads. Calls throw triggers::Error; those that end in
// `_async` return a future at once, which throws it. All futures are done before the client's
// destructor returns: calls in flight end with Code::cancelled.
#ifndef TRIGGERS_HPP
#define TRIGGERS_HPP

#include <triggers.h>

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <future>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

namespace triggers
{

// The numbers of google.rpc.Code.
enum class Code {
    ok = TRIGGERS_OK,
    cancelled = TRIGGERS_CANCELLED,
    unknown = TRIGGERS_UNKNOWN,
    invalid_argument = TRIGGERS_INVALID_ARGUMENT,
    deadline_exceeded = TRIGGERS_DEADLINE_EXCEEDED,
    not_found = TRIGGERS_NOT_FOUND,
    already_exists = TRIGGERS_ALREADY_EXISTS,
    permission_denied = TRIGGERS_PERMISSION_DENIED,
    resource_exhausted = TRIGGERS_RESOURCE_EXHAUSTED,
    failed_precondition = TRIGGERS_FAILED_PRECONDITION,
    aborted = TRIGGERS_ABORTED,
    out_of_range = TRIGGERS_OUT_OF_RANGE,
    unimplemented = TRIGGERS_UNIMPLEMENTED,
    internal = TRIGGERS_INTERNAL,
    unavailable = TRIGGERS_UNAVAILABLE,
    data_loss = TRIGGERS_DATA_LOSS,
    unauthenticated = TRIGGERS_UNAUTHENTICATED,
};

enum class Status {
    pending = TRIGGERS_STATUS_PENDING,
    acknowledged = TRIGGERS_STATUS_ACKNOWLEDGED
};
enum class Order { newest_first, oldest_first };
enum class Serving {
    unknown = TRIGGERS_SERVING_UNKNOWN,
    serving = TRIGGERS_SERVING,
    not_serving = TRIGGERS_NOT_SERVING, // the core answers, its store does not
};

using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;
using Timeout = std::chrono::milliseconds; // zero: the client's

// One wrong field, such as "events[3].payload", and what is accepted.
struct Violation {
    std::string field;
    std::string description;
};

// Why a call, or one item of a batch, failed. what() is for people, reason() for programs.
class Error : public std::runtime_error
{
  public:
    Error(Code code, std::string reason, const std::string &message)
        : std::runtime_error(message), code_(code), reason_(std::move(reason))
    {
    }

    explicit Error(const triggers_error &error)
        : Error(static_cast<Code>(error.code), error.reason, error.message)
    {
        retry_delay_ = std::chrono::milliseconds(error.retry_delay_ms);
        first_sequence_ = error.first_sequence;
        for (std::size_t i = 0; i < error.violation_count; i++)
            violations_.push_back({error.violations[i].field, error.violations[i].description});
    }

    Code code() const noexcept
    {
        return code_;
    }
    const char *code_name() const noexcept
    {
        return triggers_code_name(static_cast<triggers_code>(code_));
    }
    const std::string &reason() const noexcept
    {
        return reason_;
    }
    // Whether the same request may succeed later; see triggers_code_is_retryable.
    bool retryable() const noexcept
    {
        return triggers_code_is_retryable(static_cast<triggers_code>(code_)) != 0;
    }
    const std::vector<Violation> &violations() const noexcept
    {
        return violations_;
    }
    // How long the core advises to wait; zero for no advice.
    std::chrono::milliseconds retry_delay() const noexcept
    {
        return retry_delay_;
    }
    // Code::out_of_range: the first sequence of the log that is there; go on after the one before
    // it. 0 otherwise.
    std::int64_t first_sequence() const noexcept
    {
        return first_sequence_;
    }

  private:
    Code code_;
    std::string reason_;
    std::vector<Violation> violations_;
    std::chrono::milliseconds retry_delay_{0};
    std::int64_t first_sequence_ = 0;
};

// An event to create. The payload is one JSON object. Without event_id and idempotency_key the
// library makes the id, once, so that retries are stored once.
struct NewEvent {
    std::string source;
    std::string event_type;
    std::string payload;
    std::string event_id{};
    std::string idempotency_key{};
    std::string ordering_key{}; // subscriptions by key give out one event of a key at a time
    // When subscriptions give it out, at most 31 days ahead; the inbox and the log show it at once.
    // One of both, and none with an ordering key.
    std::optional<Time> deliver_at{};
    std::chrono::seconds delay{0}; // from when it is stored
};

struct Event {
    std::string event_id;
    std::string source;
    std::string event_type;
    std::string payload; // the bytes as they were sent; empty once they were erased
    Status status;
    Time created_at;
    std::optional<Time> acknowledged_at;
    std::int64_t sequence = 0;        // its place in the log, from 1
    bool payload_erased = false;      // the payload was removed for good, and is empty
    std::string ordering_key{};       // empty: none
    std::optional<Time> deliver_at{}; // when subscriptions give it out; none: at once
};

struct Created {
    std::string event_id;
    Time created_at; // of the first create when this one was a repeat, as is the next
    std::int64_t sequence = 0;
};

struct Acknowledged {
    std::string event_id;
    Time acknowledged_at; // the first time
};

struct Erased {
    std::string event_id;
    std::int64_t sequence = 0;
};

// What became of one item of a batch.
template <class T> class Result
{
  public:
    Result(T value) : outcome_(std::move(value))
    {
    }
    Result(Error error) : outcome_(std::move(error))
    {
    }

    explicit operator bool() const noexcept
    {
        return outcome_.index() == 0;
    }
    // The value; throws the error.
    const T &value() const
    {
        if (const Error *failure = error())
            throw *failure;
        return std::get<T>(outcome_);
    }
    // NULL when there is a value.
    const Error *error() const noexcept
    {
        return std::get_if<Error>(&outcome_);
    }

  private:
    std::variant<T, Error> outcome_;
};

// Which events: those that pass each of these. A name is exact or, with "*" at its end, the
// beginning of one; one of them must fit, and without any all do.
struct Filter {
    std::vector<std::string> sources{};
    std::vector<std::string> event_types{};
    std::optional<Time> from_time{};  // created at this time or later
    std::optional<Time> until_time{}; // created before this time
};

struct ListRequest {
    Status status = Status::pending;
    Order order = Order::newest_first;
    std::int32_t page_size = 0; // 0: 50; at most 1000
    std::string page_token{};   // of the page before; empty: from the start
    Filter filter{};
};

struct LogRequest {
    std::int64_t after = 0;     // the position: events after this sequence; 0: from the beginning
    std::int32_t page_size = 0; // 0: 50; at most 1000
    Timeout wait{0};            // for events, when there are none; at most 20 s
    Filter filter{};
};

struct KindsRequest {
    std::int32_t page_size = 0; // 0: 50; at most 1000
    std::string page_token{};   // of the page before; empty: from the start
};

struct Page {
    std::vector<Event> events;
    std::string next_page_token; // empty on the last page
};

// A part of the log, in its order. Whoever goes on after next_after misses nothing and gets nothing
// twice. From first_sequence on nothing was removed.
struct LogPage {
    std::vector<Event> events;
    std::int64_t next_after;
    std::int64_t first_sequence;
};

// What events are about.
struct Kind {
    std::string source;
    std::string event_type;
};

struct KindPage {
    std::vector<Kind> kinds;     // in the order in which they first came
    std::string next_page_token; // empty on the last page
};

struct Health {
    Serving serving;
    std::string version;
    std::string store;
};

// Empty texts mean the defaults.
struct Options {
    std::string urls{};              // ws, wss, tcp, tls+tcp, ipc; several with commas
    std::string ca_file{};           // PEM certificates to trust, for wss and tls+tcp
    std::string name{};              // this program and its version, for the core's log
    Timeout timeout{0};              // of calls that give none; zero: 10 s
    std::uint32_t max_in_flight = 0; // calls at once; 0: 1024
    bool retry = true;               // false: TRIGGERS_SEND_ONCE, see triggers.h
    std::string api_key{};           // says who calls, and is sent as it is; empty: none
    // In place of api_key, for keys that change: asked for each call, on the thread that starts it,
    // and on one of the library when the core refuses the key: the call is sent again if there is
    // another one then. Runs once at a time, and must not make calls. An exception fails the call
    // with Code::unauthenticated (KEY_UNAVAILABLE).
    // On a thread of libtriggers, by one at a time for each client and worker; see triggers.h.
    std::function<std::string()> api_key_source{};
};

namespace detail
{

// Whole milliseconds, upwards, as 0 stands for the client's timeout; negative when it cannot be
// sent.
template <class Rep, class Period> Timeout to_timeout(std::chrono::duration<Rep, Period> given)
{
    const double ms = std::ceil(std::chrono::duration<double, std::milli>(given).count());
    const bool fits = ms >= 0 && ms <= std::numeric_limits<std::uint32_t>::max(); // a NaN does not
    return Timeout(fits ? static_cast<Timeout::rep>(ms) : -1);
}

} // namespace detail

// How one call is made; a duration alone stands for one with that timeout.
struct CallOptions {
    CallOptions() = default;
    template <class Rep, class Period>
    CallOptions(std::chrono::duration<Rep, Period> given, const void *its_tag = nullptr)
        : timeout(detail::to_timeout(given)), tag(its_tag)
    {
    }

    Timeout timeout{0};        // from now to the answer; zero: the client's
    const void *tag = nullptr; // names this call, or several, for Client::cancel; never read
    std::string request_id{};  // logged by the core; empty: it makes one
    std::string traceparent{}; // W3C Trace Context, carried to the core
};

namespace detail
{

struct FreeReply {
    void operator()(triggers_reply *reply) const
    {
        triggers_reply_free(reply);
    }
};
using Reply = std::unique_ptr<triggers_reply, FreeReply>;

} // namespace detail

// The response of Client::call, which lives as long as this.
template <class Response> class Answer
{
  public:
    explicit Answer(detail::Reply reply) : reply_(std::move(reply))
    {
    }
    const Response &operator*() const
    {
        return *reinterpret_cast<const Response *>(reply_->message);
    }
    const Response *operator->() const
    {
        return &**this;
    }

  private:
    detail::Reply reply_;
};

inline std::string make_event_id()
{
    char event_id[TRIGGERS_ID_SIZE];
    triggers_make_event_id(event_id);
    return event_id;
}

namespace detail
{

// What follows a NUL would be lost in C.
inline const char *to_text(const std::string &text, const char *reason)
{
    if (text.find('\0') != std::string::npos)
        throw Error(Code::invalid_argument, reason, "a text with U+0000 in it is not accepted");
    return text.c_str();
}

inline const char *text_or_null(const std::string &text, const char *reason)
{
    return text.empty() ? nullptr : to_text(text, reason);
}

inline std::uint32_t to_ms(Timeout timeout, const char *reason = "TIMEOUT_INVALID")
{
    const Timeout::rep most = std::numeric_limits<std::uint32_t>::max();
    if (timeout.count() < 0 || timeout.count() > most)
        throw Error(Code::invalid_argument, reason, "a time is not from 0 to 4294967295 ms");
    return static_cast<std::uint32_t>(timeout.count());
}

inline Time to_time(std::int64_t time_us)
{
    return Time(std::chrono::microseconds(time_us));
}

inline Event to_event(const triggers_event &event)
{
    Event result{event.event_id,
                 event.source,
                 event.event_type,
                 std::string(event.payload, event.payload_size),
                 event.acknowledged_at_us ? Status::acknowledged : Status::pending,
                 to_time(event.created_at_us),
                 std::nullopt,
                 event.sequence,
                 event.payload_erased != 0,
                 event.ordering_key,
                 std::nullopt};
    if (event.acknowledged_at_us)
        result.acknowledged_at = to_time(event.acknowledged_at_us);
    if (event.deliver_at_us)
        result.deliver_at = to_time(event.deliver_at_us);
    return result;
}

inline Created to_created(const triggers_event &event)
{
    return {event.event_id, to_time(event.created_at_us), event.sequence};
}

inline Acknowledged to_acknowledged(const triggers_event &event)
{
    return {event.event_id, to_time(event.acknowledged_at_us)};
}

inline Erased to_erased(const triggers_event &event)
{
    return {event.event_id, event.sequence};
}

inline std::uint32_t to_delay(std::chrono::seconds delay)
{
    if (delay.count() < 0 || delay.count() > 31 * 86400)
        throw Error(Code::invalid_argument, "DELAY_INVALID", "a delay is not from 0 to 31 days");
    return static_cast<std::uint32_t>(delay.count());
}

inline triggers_new_event to_c(const NewEvent &event)
{
    triggers_new_event result{};
    result.event_id = text_or_null(event.event_id, "EVENT_ID_INVALID");
    result.idempotency_key = text_or_null(event.idempotency_key, "IDEMPOTENCY_KEY_INVALID");
    result.source = to_text(event.source, "SOURCE_INVALID");
    result.event_type = to_text(event.event_type, "EVENT_TYPE_INVALID");
    result.payload = event.payload.data();
    result.payload_size = event.payload.size();
    result.ordering_key = text_or_null(event.ordering_key, "ORDERING_KEY_INVALID");
    result.deliver_at_us = event.deliver_at ? event.deliver_at->time_since_epoch().count() : 0;
    result.delay_seconds = to_delay(event.delay);
    return result;
}

// A filter for C, which lives as long as this and the one that it is made of.
class CFilter
{
  public:
    explicit CFilter(const Filter &filter)
        : sources_(to_names(filter.sources)), event_types_(to_names(filter.event_types))
    {
        c_.sources = sources_.data();
        c_.source_count = sources_.size();
        c_.event_types = event_types_.data();
        c_.event_type_count = event_types_.size();
        c_.from_us = to_us(filter.from_time);
        c_.until_us = to_us(filter.until_time);
    }
    const triggers_filter &c() const
    {
        return c_;
    }

  private:
    static std::vector<const char *> to_names(const std::vector<std::string> &texts)
    {
        std::vector<const char *> names;
        names.reserve(texts.size());
        for (const std::string &text : texts)
            names.push_back(to_text(text, "FILTER_INVALID"));
        return names;
    }
    // 0 is none for C, so the beginning of 1970 becomes the microsecond before.
    static std::int64_t to_us(const std::optional<Time> &time)
    {
        if (!time)
            return 0;
        const std::int64_t us = time->time_since_epoch().count();
        return us == 0 ? -1 : us;
    }

    std::vector<const char *> sources_;
    std::vector<const char *> event_types_;
    triggers_filter c_{};
};

template <class T, class Convert>
std::vector<Result<T>> to_results(const triggers_reply &reply, Convert convert)
{
    std::vector<Result<T>> results;
    results.reserve(reply.item_count);
    for (std::size_t i = 0; i < reply.item_count; i++) {
        const triggers_item &item = reply.items[i];
        if (item.error.code == TRIGGERS_OK)
            results.emplace_back(convert(item.event));
        else
            results.emplace_back(Error(item.error));
    }
    return results;
}

inline std::vector<Event> to_events(const triggers_reply &reply)
{
    std::vector<Event> events;
    events.reserve(reply.item_count);
    for (std::size_t i = 0; i < reply.item_count; i++)
        events.push_back(to_event(reply.items[i].event));
    return events;
}

inline Page to_page(Reply &reply)
{
    return {to_events(*reply), reply->next_page_token};
}

inline LogPage to_log_page(Reply &reply)
{
    return {to_events(*reply), reply->next_after, reply->first_sequence};
}

inline KindPage to_kind_page(Reply &reply)
{
    KindPage page{{}, reply->next_page_token};
    page.kinds.reserve(reply->kind_count);
    for (std::size_t i = 0; i < reply->kind_count; i++)
        page.kinds.push_back({reply->kinds[i].source, reply->kinds[i].event_type});
    return page;
}

// protobuf-c names a message's struct in its descriptor; a mangled name ends with it.
template <class Response> Answer<Response> to_answer(Reply &reply)
{
    const std::string given = typeid(Response).name();
    const auto *message = reinterpret_cast<const Response *>(reply->message);
    const std::string accepted = message->base.descriptor->c_name;
    if (given.size() < accepted.size() ||
        given.compare(given.size() - accepted.size(), accepted.size(), accepted) != 0)
        throw Error(Code::invalid_argument, "RESPONSE_INVALID",
                    "the method's response is a " + accepted);
    return Answer<Response>(std::move(reply));
}

// A call in flight: its promise, and what makes the value of its reply.
template <class T> struct Pending {
    std::promise<T> promise;
    T (*read)(Reply &);

    static void finish(triggers_reply *given, void *data)
    {
        Reply reply(given);
        std::unique_ptr<Pending> pending(static_cast<Pending *>(data));
        try {
            if (reply->code != TRIGGERS_OK)
                throw Error(reply->error);
            pending->promise.set_value(pending->read(reply));
        } catch (...) {
            pending->promise.set_exception(std::current_exception());
        }
    }
};

// Starts a call; `begin` gets the callback and its data, and throws before it uses them.
template <class T, class Begin> std::future<T> start(T (*read)(Reply &), Begin begin)
{
    auto pending = std::make_unique<Pending<T>>();
    pending->read = read;
    std::future<T> future = pending->promise.get_future();
    Pending<T> *given = pending.release();
    try {
        begin(&Pending<T>::finish, given);
    } catch (...) {
        pending.reset(given);
        pending->promise.set_exception(std::current_exception());
    }
    return future;
}

inline triggers_call_options to_c(const CallOptions &options)
{
    triggers_call_options result{};
    result.timeout_ms = to_ms(options.timeout);
    result.tag = options.tag;
    result.request_id = text_or_null(options.request_id, "REQUEST_ID_INVALID");
    result.traceparent = text_or_null(options.traceparent, "TRACEPARENT_INVALID");
    return result;
}

// The lease of a delivery, while it is handled and as long as somebody has the delivery.
class Lease
{
  public:
    void lose()
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        lost_ = true;
        news_.notify_all();
    }
    template <class Duration> bool wait_lost(Duration duration)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        return news_.wait_for(lock, duration, [this] { return lost_; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable news_;
    bool lost_ = false;
};

} // namespace detail

// An event that a worker was given. The handler that has it is told by lost(), or by wait_lost()
// while it waits, that the lease is lost: somebody else may have the event then, and what becomes
// of it here will not count.
class Delivery
{
  public:
    Event event;
    std::string ack_id;    // settles this delivery; opaque
    std::uint32_t attempt; // how often the event was given out, this time included
    Time lease_expires_at; // as it was pulled

    explicit Delivery(const triggers_delivery &given)
        : event(detail::to_event(given.event)), ack_id(given.ack_id), attempt(given.attempt),
          lease_expires_at(detail::to_time(given.lease_expires_at_us)),
          lease_(std::make_shared<detail::Lease>())
    {
    }

    bool lost() const
    {
        return wait_lost(Timeout(0));
    }
    // Waits so long, but not when the lease is lost. Whether it is.
    template <class Rep, class Period>
    bool wait_lost(std::chrono::duration<Rep, Period> duration) const
    {
        return lease_->wait_lost(duration);
    }

  private:
    friend class Worker;
    std::shared_ptr<detail::Lease> lease_;
};

struct WorkOptions {
    std::uint32_t concurrency = 1; // handlers at once, to 1000
    // After how long an event comes again when this program has vanished, to 12 hours. It is
    // extended while the handler runs. Zero: as the subscription says.
    std::chrono::seconds lease{0};
    // Is told of calls that failed and are made again, and of outcomes that could not be stored; on
    // a thread of the worker, which it holds up. It must not throw.
    std::function<void(const Error &)> on_error{};
};

class Follower;
class Inbox;
class Worker;

class Client
{
  public:
    // Starts to connect; nobody need be there yet. Throws Error when an address or file is wrong.
    explicit Client(const Options &options = {})
        : options_(std::make_shared<const Options>(options)), client_(open(*options_))
    {
    }

    std::future<Created> create_async(const NewEvent &event, const CallOptions &options = {}) const
    {
        return detail::start<Created>(
            [](detail::Reply &reply) { return detail::to_created(reply->items[0].event); },
            [&](triggers_callback *done, void *data) {
                const triggers_new_event given = detail::to_c(event);
                const auto how = detail::to_c(options);
                triggers_create_async(client_.get(), &given, &how, done, data);
            });
    }

    std::future<std::vector<Result<Created>>>
    create_batch_async(const std::vector<NewEvent> &events, const CallOptions &options = {}) const
    {
        return detail::start<std::vector<Result<Created>>>(
            [](detail::Reply &reply) {
                return detail::to_results<Created>(*reply, detail::to_created);
            },
            [&](triggers_callback *done, void *data) {
                std::vector<triggers_new_event> given;
                given.reserve(events.size());
                for (const NewEvent &event : events)
                    given.push_back(detail::to_c(event));
                const auto how = detail::to_c(options);
                triggers_create_batch_async(client_.get(), given.data(), given.size(), &how, done,
                                            data);
            });
    }

    std::future<Event> get_async(const std::string &event_id, const CallOptions &options = {}) const
    {
        return detail::start<Event>(
            [](detail::Reply &reply) { return detail::to_event(reply->items[0].event); },
            [&](triggers_callback *done, void *data) {
                const char *given = detail::to_text(event_id, "EVENT_ID_INVALID");
                const auto how = detail::to_c(options);
                triggers_get_async(client_.get(), given, &how, done, data);
            });
    }

    std::future<Page> list_async(const ListRequest &request = {},
                                 const CallOptions &options = {}) const
    {
        return detail::start<Page>(detail::to_page, [&](triggers_callback *done, void *data) {
            triggers_list_request given{};
            given.status = static_cast<triggers_status>(request.status);
            given.page_size = request.page_size;
            given.page_token = detail::to_text(request.page_token, "PAGE_TOKEN_INVALID");
            given.oldest_first = request.order == Order::oldest_first;
            const detail::CFilter filter(request.filter);
            given.filter = filter.c();
            const auto how = detail::to_c(options);
            triggers_list_async(client_.get(), &given, &how, done, data);
        });
    }

    std::future<LogPage> list_events_async(const LogRequest &request = {},
                                           const CallOptions &options = {}) const
    {
        return detail::start<LogPage>(
            detail::to_log_page, [&](triggers_callback *done, void *data) {
                triggers_log_request given{};
                given.after_sequence = request.after;
                given.page_size = request.page_size;
                given.wait_ms = detail::to_ms(request.wait, "WAIT_INVALID");
                const detail::CFilter filter(request.filter);
                given.filter = filter.c();
                const auto how = detail::to_c(options);
                triggers_list_events_async(client_.get(), &given, &how, done, data);
            });
    }

    std::future<KindPage> list_kinds_async(const KindsRequest &request = {},
                                           const CallOptions &options = {}) const
    {
        return detail::start<KindPage>(
            detail::to_kind_page, [&](triggers_callback *done, void *data) {
                triggers_kinds_request given{};
                given.page_size = request.page_size;
                given.page_token = detail::to_text(request.page_token, "PAGE_TOKEN_INVALID");
                const auto how = detail::to_c(options);
                triggers_list_kinds_async(client_.get(), &given, &how, done, data);
            });
    }

    std::future<Acknowledged> ack_async(const std::string &event_id,
                                        const CallOptions &options = {}) const
    {
        return detail::start<Acknowledged>(
            [](detail::Reply &reply) { return detail::to_acknowledged(reply->items[0].event); },
            [&](triggers_callback *done, void *data) {
                const char *given = detail::to_text(event_id, "EVENT_ID_INVALID");
                const auto how = detail::to_c(options);
                triggers_ack_async(client_.get(), given, &how, done, data);
            });
    }

    std::future<std::vector<Result<Acknowledged>>>
    ack_batch_async(const std::vector<std::string> &event_ids,
                    const CallOptions &options = {}) const
    {
        return detail::start<std::vector<Result<Acknowledged>>>(
            [](detail::Reply &reply) {
                return detail::to_results<Acknowledged>(*reply, detail::to_acknowledged);
            },
            [&](triggers_callback *done, void *data) {
                std::vector<const char *> given;
                given.reserve(event_ids.size());
                for (const std::string &event_id : event_ids)
                    given.push_back(detail::to_text(event_id, "EVENT_ID_INVALID"));
                const auto how = detail::to_c(options);
                triggers_ack_batch_async(client_.get(), given.data(), given.size(), &how, done,
                                         data);
            });
    }

    std::future<Erased> erase_async(const std::string &event_id,
                                    const CallOptions &options = {}) const
    {
        return detail::start<Erased>(
            [](detail::Reply &reply) { return detail::to_erased(reply->items[0].event); },
            [&](triggers_callback *done, void *data) {
                const char *given = detail::to_text(event_id, "EVENT_ID_INVALID");
                const auto how = detail::to_c(options);
                triggers_erase_async(client_.get(), given, &how, done, data);
            });
    }

    std::future<Health> health_async(const CallOptions &options = {}) const
    {
        return detail::start<Health>(
            [](detail::Reply &reply) {
                return Health{static_cast<Serving>(reply->serving), reply->server_version,
                              reply->server_store};
            },
            [&](triggers_callback *done, void *data) {
                const auto how = detail::to_c(options);
                triggers_health_async(client_.get(), &how, done, data);
            });
    }

    // Any call, with the messages that protoc-c makes of the .proto files: `method` is its full
    // name, such as "triggers.stats.v1.StatsService/GetStats", Request and Response are its
    // structs. Code::invalid_argument when libtriggers knows no such method, or its request is
    // another; after the call, when its response is.
    template <class Response, class Request>
    std::future<Answer<Response>> call_async(const std::string &method, const Request &request,
                                             const CallOptions &options = {}) const
    {
        return detail::start<Answer<Response>>(
            detail::to_answer<Response>, [&](triggers_callback *done, void *data) {
                const char *name = detail::to_text(method, "METHOD_INVALID");
                const auto how = detail::to_c(options);
                triggers_call_async(client_.get(), name, &request.base, &how, done, data);
            });
    }
    template <class Response, class Request>
    Answer<Response> call(const std::string &method, const Request &request,
                          const CallOptions &options = {}) const
    {
        return call_async<Response>(method, request, options).get();
    }

    Created create(const NewEvent &event, const CallOptions &options = {}) const
    {
        return create_async(event, options).get();
    }
    std::vector<Result<Created>> create_batch(const std::vector<NewEvent> &events,
                                              const CallOptions &options = {}) const
    {
        return create_batch_async(events, options).get();
    }
    Event get(const std::string &event_id, const CallOptions &options = {}) const
    {
        return get_async(event_id, options).get();
    }
    Page list(const ListRequest &request = {}, const CallOptions &options = {}) const
    {
        return list_async(request, options).get();
    }
    // Reads a part of the log, the events of every status in the order of the commits. Continue
    // from next_after. With a wait, an answer without events comes when that time is over; a call
    // without a timeout has the client's and the wait. Code::out_of_range when events after the
    // position were removed.
    LogPage list_events(const LogRequest &request = {}, const CallOptions &options = {}) const
    {
        return list_events_async(request, options).get();
    }
    // Reads a page of the kinds, the pairs of source and event type that events have or had.
    KindPage list_kinds(const KindsRequest &request = {}, const CallOptions &options = {}) const
    {
        return list_kinds_async(request, options).get();
    }
    Acknowledged ack(const std::string &event_id, const CallOptions &options = {}) const
    {
        return ack_async(event_id, options).get();
    }
    std::vector<Result<Acknowledged>> ack_batch(const std::vector<std::string> &event_ids,
                                                const CallOptions &options = {}) const
    {
        return ack_batch_async(event_ids, options).get();
    }
    // Removes the payload of the event for good; it cannot be undone. The event keeps its place in
    // the log and its status, and its create sent again answers as before. Erasing again changes
    // nothing.
    Erased erase(const std::string &event_id, const CallOptions &options = {}) const
    {
        return erase_async(event_id, options).get();
    }
    Health health(const CallOptions &options = {}) const
    {
        return health_async(options).get();
    }

    // Ends the calls in flight that were started with this tag: their futures throw
    // Code::cancelled, and the core may or may not have done them. Calls that start later are not
    // concerned.
    void cancel(const void *tag) const
    {
        triggers_cancel(client_.get(), tag);
    }

    // A range over all events of a list, fetched page after page; see Inbox.
    inline Inbox inbox(ListRequest request = {}, const CallOptions &options = {}) const;

    // The events of the log after a position and, by waiting at its end, those to come; see
    // Follower. The wait, 20 s when it is zero, is that of one call.
    inline Follower follow(LogRequest request = {}, const CallOptions &options = {}) const;

    // Hands the events of a subscription to a handler; see Worker.
    inline Worker worker(const std::string &subscription,
                         std::function<void(const Delivery &)> handler,
                         const WorkOptions &options = {}) const;

  private:
    friend class Worker;
    struct Close {
        void operator()(triggers_client *client) const
        {
            triggers_client_close(client);
        }
    };
    using Handle = std::unique_ptr<triggers_client, Close>;

    static int give_key(char key[TRIGGERS_KEY_SIZE], void *options)
    {
        try {
            const std::string text = static_cast<const Options *>(options)->api_key_source();
            // No key has so many bytes, or a NUL.
            const bool fits =
                text.size() < TRIGGERS_KEY_SIZE && text.find('\0') == std::string::npos;
            key[fits ? text.copy(key, text.size()) : 0] = '\0';
            return 1;
        } catch (...) {
            return 0;
        }
    }

    // The options must outlive it.
    static Handle open(const Options &options)
    {
        triggers_client_options given{};
        given.url = detail::text_or_null(options.urls, "URL_INVALID");
        given.tls_ca_file = detail::text_or_null(options.ca_file, "TLS_CA_INVALID");
        given.name = detail::text_or_null(options.name, "NAME_INVALID");
        given.timeout_ms = detail::to_ms(options.timeout);
        given.max_in_flight = options.max_in_flight;
        given.no_retry = options.retry ? 0 : TRIGGERS_SEND_ONCE;
        given.api_key = detail::text_or_null(options.api_key, "API_KEY_INVALID");
        if (options.api_key_source) {
            given.api_key_source = give_key;
            given.api_key_data = const_cast<Options *>(&options);
        }
        triggers_client *client = nullptr;
        char error[512];
        triggers_code code = triggers_client_open(&client, &given, error, sizeof(error));
        if (code != TRIGGERS_OK)
            throw Error(static_cast<Code>(code), "CLIENT_NOT_OPENED", error);
        return Handle(client);
    }

    std::shared_ptr<const Options> options_; // shared, as its address must stay
    Handle client_;
};

// A range to be walked once, by one thread, while the client lives. The options are a page's;
// fetching throws Error.
class Inbox
{
  public:
    class iterator
    {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Event;
        using difference_type = std::ptrdiff_t;
        using pointer = const Event *;
        using reference = const Event &;

        iterator() = default;
        explicit iterator(Inbox *inbox) : inbox_(inbox)
        {
            settle();
        }
        reference operator*() const
        {
            return inbox_->page_.events[inbox_->next_];
        }
        pointer operator->() const
        {
            return &**this;
        }
        iterator &operator++()
        {
            inbox_->next_++;
            settle();
            return *this;
        }
        bool operator==(const iterator &other) const
        {
            return inbox_ == other.inbox_;
        }
        bool operator!=(const iterator &other) const
        {
            return inbox_ != other.inbox_;
        }

      private:
        // Fetches until there is an event; becomes the end when there is none.
        void settle()
        {
            while (inbox_ && inbox_->next_ == inbox_->page_.events.size()) {
                if (!inbox_->fetch())
                    inbox_ = nullptr;
            }
        }
        Inbox *inbox_ = nullptr;
    };

    Inbox(const Client &client, ListRequest request, const CallOptions &options)
        : client_(&client), request_(std::move(request)), options_(options)
    {
    }
    iterator begin()
    {
        return iterator(this);
    }
    iterator end()
    {
        return {};
    }

  private:
    bool fetch()
    {
        if (last_)
            return false;
        page_ = client_->list(request_, options_);
        next_ = 0;
        request_.page_token = page_.next_page_token;
        last_ = page_.next_page_token.empty();
        return true;
    }

    const Client *client_;
    ListRequest request_;
    CallOptions options_;
    Page page_;
    std::size_t next_ = 0;
    bool last_ = false;
};

// Walks through the log, and waits at its end for more: each event once, in order. One thread at a
// time walks, while the client lives; any may stop it. The options, but for their tag, are those of
// each call, which throws Error when it fails; asked again, the follower goes on where it was.
class Follower
{
  public:
    class iterator
    {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Event;
        using difference_type = std::ptrdiff_t;
        using pointer = const Event *;
        using reference = const Event &;

        iterator() = default;
        explicit iterator(Follower *follower) : follower_(follower)
        {
            ++*this;
        }
        reference operator*() const
        {
            return *event_;
        }
        pointer operator->() const
        {
            return &*event_;
        }
        iterator &operator++()
        {
            event_ = follower_->next();
            if (!event_)
                follower_ = nullptr;
            return *this;
        }
        bool operator==(const iterator &other) const
        {
            return follower_ == other.follower_;
        }
        bool operator!=(const iterator &other) const
        {
            return follower_ != other.follower_;
        }

      private:
        Follower *follower_ = nullptr;
        std::optional<Event> event_;
    };

    Follower(const Client &client, LogRequest request, const CallOptions &options)
        : client_(&client), request_(std::move(request)), options_(options), after_(request_.after)
    {
        options_.tag = this;
        if (request_.wait == Timeout(0))
            request_.wait = Timeout(TRIGGERS_MAX_WAIT_MS);
    }
    Follower(const Follower &) = delete;
    Follower &operator=(const Follower &) = delete;

    // Goes on where it was.
    iterator begin()
    {
        return iterator(this);
    }
    iterator end()
    {
        return {};
    }

    // Waits for the next event; none after stop().
    std::optional<Event> next()
    {
        while (!is_stopped()) {
            if (next_ < page_.events.size())
                return take();
            fetch();
        }
        return std::nullopt;
    }

    // The position after the event that was given last: save it, and follow from there the next
    // time.
    std::int64_t next_after() const
    {
        return after_;
    }

    // Ends the walk, also while it waits.
    void stop()
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopped_ = true;
        client_->cancel(this);
    }

  private:
    Event take()
    {
        Event event = std::move(page_.events[next_++]);
        after_ = next_ < page_.events.size() ? event.sequence : request_.after;
        return event;
    }

    void fetch()
    {
        try {
            page_ = start().get();
        } catch (const Error &) {
            if (is_stopped())
                return;
            throw;
        }
        next_ = 0;
        request_.after = page_.next_after;
        if (page_.events.empty())
            after_ = page_.next_after;
    }

    bool is_stopped()
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        return stopped_;
    }

    // Under the mutex, so that stop() finds the call.
    std::future<LogPage> start()
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (stopped_)
            throw Error(Code::cancelled, "CALL_CANCELLED", "the follower was stopped");
        return client_->list_events_async(request_, options_);
    }

    const Client *client_;
    LogRequest request_; // its position: everything up to there was read
    CallOptions options_;
    LogPage page_{};
    std::size_t next_ = 0; // of page_: not given yet
    std::int64_t after_;
    std::mutex mutex_;
    bool stopped_ = false; // under the mutex
};

// Hands the events of a subscription to a handler from its construction on, on as many threads as
// there are handlers at once, while the client lives. It pulls no more than there are handlers
// free. An event is acknowledged when its handler returns; when it throws, the event comes again
// after a pause or becomes a dead letter, with what() as the reason. An event may be handled more
// than once. The worker opens another connection of its own, as the client was opened.
class Worker
{
  public:
    using Handler = std::function<void(const Delivery &)>;

    // Throws Error when an option is wrong; nobody need be there yet.
    Worker(const Client &client, const std::string &subscription, Handler handler,
           const WorkOptions &options = {})
        : handler_(std::move(handler)), on_error_(options.on_error)
    {
        const std::chrono::seconds longest = std::chrono::hours(12);
        if (options.lease < std::chrono::seconds(0) || options.lease > longest)
            throw Error(Code::invalid_argument, "LEASE_INVALID", "a lease is not from 0 to 12 h");
        if (!handler_)
            throw Error(Code::invalid_argument, "HANDLER_MISSING", "a worker needs a handler");
        triggers_consumer_options given{};
        given.subscription = detail::to_text(subscription, "SUBSCRIPTION_INVALID");
        given.concurrency = options.concurrency;
        given.lease_seconds = static_cast<std::uint32_t>(options.lease.count());
        given.handle = handle;
        given.lost = note_lost;
        given.failed = tell_failed;
        given.ended = note_end;
        given.user_data = this;
        triggers_client *puller = Client::open(*client.options_).release();
        triggers_consumer *consumer = nullptr;
        char error[512];
        const triggers_code code = triggers_consumer_open(&consumer, client.client_.get(), puller,
                                                          &given, error, sizeof(error));
        if (code != TRIGGERS_OK)
            throw Error(static_cast<Code>(code), "WORKER_NOT_STARTED", error);
        consumer_.reset(consumer);
    }
    // Stops, and waits. Not in a handler.
    ~Worker() = default;
    Worker(const Worker &) = delete;
    Worker &operator=(const Worker &) = delete;

    // Begins nothing more: what runs is finished and settled, the rest given back. Any thread may
    // stop a worker that is constructed, a handler too.
    void stop()
    {
        triggers_consumer_stop(consumer_.get());
    }

    // Waits until it has stopped. Throws Error when a call failed for good, as when there is no
    // such subscription. Not in a handler.
    void wait()
    {
        const triggers_error *error = triggers_consumer_wait(consumer_.get(), nullptr);
        if (error->code != TRIGGERS_OK)
            throw Error(*error);
    }

    // Waits so long, but not when it has stopped. Whether it has; wait() says why.
    template <class Rep, class Period> bool wait_for(std::chrono::duration<Rep, Period> duration)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        return end_.wait_for(lock, duration, [this] { return ended_; });
    }

  private:
    struct Close {
        void operator()(triggers_consumer *consumer) const
        {
            triggers_consumer_close(consumer);
        }
    };

    static void handle(const triggers_delivery *given, triggers_outcome *outcome, void *data)
    {
        Worker &self = *static_cast<Worker *>(data);
        try {
            const Delivery delivery(*given);
            const Running running(self, given, delivery);
            self.handler_(delivery);
        } catch (const std::exception &failure) {
            fail(*outcome, failure.what());
        } catch (...) {
            fail(*outcome, "");
        }
    }

    static void fail(triggers_outcome &outcome, const char *reason)
    {
        outcome.kind = TRIGGERS_OUTCOME_NACK;
        std::snprintf(outcome.reason, sizeof(outcome.reason), "%s", *reason ? reason : "failed");
    }

    static void note_lost(const triggers_delivery *given, void *data)
    {
        Worker &self = *static_cast<Worker *>(data);
        const std::lock_guard<std::mutex> lock(self.mutex_);
        const auto found = self.running_.find(given);
        if (found != self.running_.end())
            found->second->lose();
    }

    static void tell_failed(const triggers_error *error, const triggers_delivery *, void *data)
    {
        const Worker &self = *static_cast<Worker *>(data);
        if (self.on_error_)
            self.on_error_(Error(*error));
    }

    static void note_end(void *data)
    {
        Worker &self = *static_cast<Worker *>(data);
        const std::lock_guard<std::mutex> lock(self.mutex_);
        self.ended_ = true;
        self.end_.notify_all();
    }

    // A delivery is found while its handler runs.
    class Running
    {
      public:
        Running(Worker &worker, const triggers_delivery *given, const Delivery &delivery)
            : worker_(worker), given_(given)
        {
            const std::lock_guard<std::mutex> lock(worker_.mutex_);
            worker_.running_.emplace(given_, delivery.lease_);
            if (triggers_delivery_lost(given_)) // before it could be found
                delivery.lease_->lose();
        }
        ~Running()
        {
            const std::lock_guard<std::mutex> lock(worker_.mutex_);
            worker_.running_.erase(given_);
        }
        Running(const Running &) = delete;
        Running &operator=(const Running &) = delete;

      private:
        Worker &worker_;
        const triggers_delivery *given_;
    };

    Handler handler_;
    std::function<void(const Error &)> on_error_;
    std::mutex mutex_; // the rest, but for the consumer
    std::condition_variable end_;
    bool ended_ = false;
    std::map<const triggers_delivery *, std::shared_ptr<detail::Lease>> running_;
    std::unique_ptr<triggers_consumer, Close> consumer_; // the last, as its threads use the others
};

inline Worker Client::worker(const std::string &subscription, Worker::Handler handler,
                             const WorkOptions &options) const
{
    return Worker(*this, subscription, std::move(handler), options);
}

inline Follower Client::follow(LogRequest request, const CallOptions &options) const
{
    return Follower(*this, std::move(request), options);
}

inline Inbox Client::inbox(ListRequest request, const CallOptions &options) const
{
    return Inbox(*this, std::move(request), options);
}

} // namespace triggers

#endif
