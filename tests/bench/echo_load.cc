// Calls the echo over one channel, on the callback API, each answer starting the next call. Prints
// calls a second. Usage: echo_load HOST:PORT IN_FLIGHT SECONDS
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <iostream>
#include <memory>
#include <mutex>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

using Clock = std::chrono::steady_clock;

struct Load {
    std::unique_ptr<echo::Echo::Stub> stub;
    Clock::time_point end;
    std::atomic<long> answered{0};
    std::mutex mutex;
    std::condition_variable changed;
    int busy = 0;
};

struct Lane {
    Load *load;
    std::unique_ptr<grpc::ClientContext> context;
    echo::Empty request, response;

    void start()
    {
        context = std::make_unique<grpc::ClientContext>();
        load->stub->async()->Call(context.get(), &request, &response,
                                  [this](grpc::Status status) { done(status); });
    }

    void done(const grpc::Status &status)
    {
        bool in_time = Clock::now() < load->end;
        if (status.ok() && in_time) {
            load->answered++;
            start();
            return;
        }
        if (!status.ok())
            std::cerr << status.error_message() << "\n";
        std::lock_guard<std::mutex> guard(load->mutex);
        load->busy--;
        load->changed.notify_one();
    }
};

int main(int, char **argv)
{
    Load load;
    auto channel = grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)))
        return 1;
    load.stub = echo::Echo::NewStub(channel);
    load.busy = std::stoi(argv[2]);
    double seconds = std::stod(argv[3]);
    load.end = Clock::now() + std::chrono::milliseconds(static_cast<long>(seconds * 1000));
    std::vector<Lane> lanes(load.busy);
    for (auto &lane : lanes) {
        lane.load = &load;
        lane.start();
    }
    std::unique_lock<std::mutex> lock(load.mutex);
    load.changed.wait(lock, [&] { return load.busy == 0; });
    std::cout << static_cast<double>(load.answered) / seconds << "\n";
}
