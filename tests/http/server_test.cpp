#include "http/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

namespace prax::http {
namespace {

using namespace std::chrono_literals;

//! A client that says exactly what it is told to.
class Client {
public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void say(std::string_view text) { ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL); }
  //! What comes until `end` is in it, or the server hangs up.
  std::string hear(std::string_view end) {
    std::string text;
    char piece[4096];
    while (text.find(end) == std::string::npos) {
      const ssize_t count = ::recv(socket_, piece, sizeof piece, 0);
      if (count <= 0) break;
      text.append(piece, static_cast<size_t>(count));
    }
    return text;
  }

private:
  int socket_;
};

class HttpServer : public ::testing::Test {
protected:
  HttpServer() {
    Router router;
    router.add({"GET", "/hello", [](Request&) { return Response::text(200, "hello"); }});
    router.add(
        {"POST", "/echo", [](Request& r) { return Response::text(200, r.body.content.text()); }, {.json = true}});
    router.add({"POST",
                "/parts",
                [](Request& r) {
                  return Response::text(200, std::to_string(r.body.parts.size()) + r.body.parts.at(0).content.text());
                },
                {.multipart = true}});
    router.add({"GET", "/slow", [](Request&) {
                  std::this_thread::sleep_for(300ms);
                  return Response::text(200, "slow");
                }});
    router.add({"GET",
                "/long",
                [](Request&) {
                  std::this_thread::sleep_for(1s);
                  return Response::text(200, "long");
                },
                {},
                {},
                true});
    router.add({"GET", "/broken", [](Request&) -> Response { throw std::runtime_error("oops"); }});
    router.add({"GET", "/events", [this](Request&) {
                  auto stream = std::make_shared<EventStream>();
                  std::lock_guard lock(mutex_);
                  streams_.push_back(stream);
                  return Response::events(stream);
                }});
    ServerSettings settings;
    settings.port = 0;
    settings.temporary = ::testing::TempDir();
    settings.limits.header_time = 300ms;
    settings.limits.body_time = 300ms;
    settings.limits.slowest_bytes_per_second = 1 << 20;
    settings.limits.json_bytes = 1 << 20;
    settings.limits.heartbeat = 100ms;
    settings.limits.connections = 40;
    Hooks hooks;
    hooks.gate = [](Request&, const Route&) {};
    hooks.room = [this](Request& request, uint64_t bytes) {
      room_asked_ = bytes;
      if (bytes > room_) throw HttpError(507, "no_room");
      ++rooms_;
      request.room = std::shared_ptr<void>(nullptr, [this](void*) { --rooms_; });
    };
    hooks.failure = [](const std::exception_ptr& problem, const Request&) {
      try {
        std::rethrow_exception(problem);
      } catch (const HttpError& error) {
        return Response::text(error.status(), error.code());
      } catch (...) {
        return Response::text(500, "bug");
      }
    };
    hooks.finish = [](const Request& request, Response& response, double) {
      response.headers.set("x-request-id", request.id);
    };
    hooks.log = [this](const Exchange&) { ++answered_; };
    server_ = std::make_unique<Server>(settings, std::move(router), hooks);
    thread_ = std::thread([this] { server_->run(); });
  }
  ~HttpServer() override { stop(); }

  void stop() {
    server_->stop(5s);
    if (thread_.joinable()) thread_.join();
  }
  std::string ask(const std::string& request, std::string_view end = "\r\n\r\n") {
    Client client(server_->port());
    client.say(request);
    return client.hear(end);
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<EventStream>> streams_;
  std::atomic<int> answered_{0}, rooms_{0};
  std::atomic<uint64_t> room_{1 << 20}, room_asked_{0};
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

TEST_F(HttpServer, KeepsConnectionsOpen) {
  Client client(server_->port());
  for (int i = 0; i < 3; ++i) {
    client.say("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
    const std::string answer = client.hear("hello");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find("x-request-id: req_"), std::string::npos);
  }
  client.say("HEAD /hello HTTP/1.1\r\nhost: x\r\n\r\nGET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  const std::string two = client.hear("no end");
  EXPECT_EQ(two.find("hello"), two.size() - 5);
}

TEST_F(HttpServer, AsksForRoomBeforeItKeepsABodyInAFile) {
  const std::string head = "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
  const std::string body(900'000, ' '), announced = "content-length: 900000\r\n";
  EXPECT_NE(ask(head + "content-length: 4\r\n\r\n[12]", "no end").find(" 200 "), std::string::npos);
  EXPECT_EQ(room_asked_, 0u) << "a short body is kept in memory";
  EXPECT_NE(ask(head + announced + "\r\n" + body, "no end").find(" 200 "), std::string::npos);
  EXPECT_EQ(room_asked_, 900'000u);
  const std::string chunks = "transfer-encoding: chunked\r\n\r\ndbba0\r\n" + body + "\r\n0\r\n\r\n";
  EXPECT_NE(ask(head + chunks, "no end").find(" 200 "), std::string::npos);
  EXPECT_EQ(room_asked_, 1u << 20) << "a little ahead of what came, and no further than the limit";
  EXPECT_EQ(rooms_, 0) << "it is given back before the answer";
  room_ = 800'000;
  const std::string refused = ask(head + announced + "expect: 100-continue\r\n\r\n", "no end");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 507 ")) << refused;
  EXPECT_TRUE(ask(head + chunks, "no end").starts_with("HTTP/1.1 507 "));
  EXPECT_EQ(rooms_, 0);
}

TEST_F(HttpServer, ReadsBodies) {
  const std::string head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
  EXPECT_TRUE(ask(head + "content-length: 4\r\n\r\n[12]", "[12]").ends_with("[12]"));
  EXPECT_TRUE(
      ask(head + "transfer-encoding: chunked\r\n\r\n2\r\n[1\r\n2\r\n2]\r\n0\r\n\r\n", "[12]").ends_with("[12]"));
  EXPECT_NE(ask(head + "content-length: 4\r\nexpect: 100-continue\r\n\r\n").find("100 Continue"), std::string::npos);
  const std::string large(900'000, ' ');
  EXPECT_GT(ask(head + "content-length: 900000\r\nconnection: close\r\n\r\n" + large, "no end").size(), large.size());
  const std::string form = "--b\r\ncontent-disposition: form-data; name=a\r\n\r\nx\r\n--b--";
  EXPECT_TRUE(
      ask("POST /parts HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: " +
              std::to_string(form.size()) + "\r\n\r\n" + form,
          "1x")
          .ends_with("1x"));
}

TEST_F(HttpServer, Refuses) {
  const auto status = [&](const std::string& request) { return ask(request).substr(9, 3); };
  EXPECT_EQ(status("GET /none HTTP/1.1\r\nhost: x\r\n\r\n"), "404");
  EXPECT_EQ(status("PUT /hello HTTP/1.1\r\nhost: x\r\n\r\n"), "405");
  EXPECT_EQ(status("GET /broken HTTP/1.1\r\nhost: x\r\n\r\n"), "500");
  EXPECT_EQ(status("GET /hello HTTP/1.1\r\n\r\n"), "400");
  EXPECT_EQ(status("POST /echo HTTP/1.1\r\nhost: x\r\n\r\n"), "400");
  EXPECT_EQ(status("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx"), "415");
  const std::string json = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
  EXPECT_EQ(status(json + "content-length: 1048577\r\n\r\n"), "413");
  EXPECT_EQ(status(json + "transfer-encoding: chunked\r\n\r\n200000\r\n" + std::string(0x200000, ' ')), "413");
  EXPECT_EQ(status(json + "content-length: 10\r\n\r\n["), "408");
  EXPECT_EQ(status("GET /hello HTTP/1.1\r\nhost"), "408");
  EXPECT_EQ(status("GET /hello HTTP/1.1\r\nx: " + std::string(40'000, 'x') + "\r\n\r\n"), "431");
}

TEST_F(HttpServer, RefusesBodiesWhoseEndIsInDoubt) {
  const std::string post = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
  const std::string chunks = "\r\n2\r\n[]\r\n0\r\n\r\n", hidden = "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n";
  const auto check = [&](const std::string& status, const std::string& request) {
    const std::string answers = ask(request + hidden, "no end");
    EXPECT_EQ(answers.substr(9, 3), status) << request;
    EXPECT_EQ(answers.find("HTTP/1.1", 1), std::string::npos) << request;  // and the connection ends with it
  };
  check("501", post + "transfer-encoding: gzip, chunked\r\n" + chunks);
  check("501", post + "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n" + chunks);
  check("400", post + "transfer-encoding: identity\r\ncontent-length: 2\r\n\r\n[]");
  check("400", post + "transfer-encoding: chunked\r\ncontent-length: 2\r\n" + chunks);
  check("400", post + "content-length: 2, 2\r\n\r\n[]");
  check("400", post + "content-length: 2\r\ncontent-length: 2\r\n\r\n[]");
  check("400",
        "POST /echo HTTP/1.0\r\ncontent-type: application/json\r\nconnection: keep-alive\r\n"
        "transfer-encoding: chunked\r\n" +
            chunks);
  check("415", post + "content-encoding: gzip\r\ncontent-length: 2\r\n\r\n[]");
}

TEST_F(HttpServer, LinesOfChunksAreLimited) {
  const std::string post =
      "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
      "transfer-encoding: chunked\r\n\r\n2";
  const std::string long_line(200'000, 'a');
  EXPECT_EQ(ask(post + ";" + long_line + "\r\n[]\r\n0\r\n\r\n").substr(9, 3), "400");
  EXPECT_EQ(ask(post + "\r\n[]\r\n0\r\nx: " + long_line + "\r\n\r\n").substr(9, 3), "400");
  EXPECT_TRUE(ask(post + ";a=b\r\n[]\r\n0\r\nx: y\r\n\r\n", "[]").ends_with("[]"));
}

TEST_F(HttpServer, StreamsEvents) {
  Client client(server_->port());
  client.say("GET /events HTTP/1.1\r\nhost: x\r\n\r\n");
  client.hear(": ready\n\n");
  client.hear(": still here\n\n");
  std::shared_ptr<EventStream> stream;
  {
    std::lock_guard lock(mutex_);
    stream = streams_.at(0);
  }
  std::thread sender([stream] {
    for (int i = 0; i < 100; ++i) stream->send({std::to_string(i), "count", "x"});
    stream->close();
  });
  const std::string text = client.hear("no end");
  sender.join();
  EXPECT_NE(text.find("id: 99\nevent: count\ndata: x\n\n"), std::string::npos);
  EXPECT_FALSE(stream->send({"", "", "late"}));
}

TEST(EventStream, LetsGoOfSlowClientsAndNotOfLongEvents) {
  EventStream stream(1000);
  EXPECT_TRUE(stream.send({"1", "", std::string(5000, 'x')}));
  EXPECT_EQ(stream.take().find("id: 1\n"), 0u);
  EXPECT_TRUE(stream.send({"2", "", std::string(5000, 'x')}));
  EXPECT_FALSE(stream.send({"3", "", "x"}));
  EXPECT_TRUE(stream.closed());
}

TEST_F(HttpServer, HearsThatAListenerHungUp) {
  std::shared_ptr<EventStream> stream;
  {
    Client client(server_->port());
    client.say("GET /events HTTP/1.1\r\nhost: x\r\n\r\n");
    client.hear(": ready\n\n");
    std::lock_guard lock(mutex_);
    stream = streams_.at(0);
  }
  for (int i = 0; i < 100 && !stream->closed(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(stream->closed());
}

TEST_F(HttpServer, ManyClientsAtOnce) {
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i)
    clients.emplace_back([&] {
      Client client(server_->port());
      for (int j = 0; j < 50; ++j) {
        client.say("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
        good += client.hear("hello").ends_with("hello");
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 16 * 50);
}

TEST_F(HttpServer, SlowRequestsHoldNobodyUp) {
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 12; ++i) {
    slow.push_back(std::make_unique<Client>(server_->port()));
    slow.back()->say("GET /long HTTP/1.1\r\nhost: x\r\n\r\n");
  }
  std::this_thread::sleep_for(100ms);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(ask("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n", "hello").ends_with("hello"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 700ms);
  for (const auto& client : slow) EXPECT_TRUE(client->hear("long").ends_with("long"));
}

TEST_F(HttpServer, ConnectionsThatAskForNothingKeepNobodyOut) {
  std::vector<std::unique_ptr<Client>> silent;
  for (int i = 0; i < 60; ++i) {
    silent.push_back(std::make_unique<Client>(server_->port()));
    if (i % 2) {
      silent.back()->say("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
      EXPECT_TRUE(silent.back()->hear("hello").ends_with("hello")) << i;
    }
  }
  EXPECT_TRUE(ask("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n", "hello").ends_with("hello"));
  EXPECT_LE(server_->connections(), 41u);
  EXPECT_EQ(silent.front()->hear("no end"), "") << "the one that was silent longest is let go";
  silent.back()->say("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_TRUE(silent.back()->hear("hello").ends_with("hello"));
}

TEST_F(HttpServer, DrainsBeforeItStops) {
  Client idle(server_->port()), slow(server_->port()), listener(server_->port());
  listener.say("GET /events HTTP/1.1\r\nhost: x\r\n\r\n");
  listener.hear(": ready\n\n");
  slow.say("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
  std::this_thread::sleep_for(100ms);
  const auto begin = std::chrono::steady_clock::now();
  stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
  EXPECT_NE(slow.hear("no end").find("slow"), std::string::npos);
  EXPECT_EQ(idle.hear("no end"), "");
}

}  // namespace
}  // namespace prax::http
