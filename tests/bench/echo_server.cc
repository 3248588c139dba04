// A gRPC server of one empty call, on the callback API. Usage: echo_server HOST:PORT
#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

class Service final : public echo::Echo::CallbackService
{
    grpc::ServerUnaryReactor *Call(grpc::CallbackServerContext *context, const echo::Empty *,
                                   echo::Empty *) override
    {
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

int main(int, char **argv)
{
    Service service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    builder.BuildAndStart()->Wait();
}
