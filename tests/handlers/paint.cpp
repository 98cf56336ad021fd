// Built several times: with either version of a header-only library, by either compiler.  "show"
// logs what it finds in the library, "mix COLOUR" changes it first.
#include <memory>
#include <string>

#include "fastmqtt/handler.hpp"
#include "palette.hpp"

namespace {

class Paint {
 public:
  explicit Paint(fastmqtt::Host host) : host_(host) {}

  fastmqtt::Result on_message(const fastmqtt::Message& message) {
    const std::string text(message.payload());
    if (text.starts_with("mix ")) {
      palette::colour() = text.substr(4);
      palette::brightness *= 10;
      palette::Mixer<int>::mixed.push_back(0);
    }
    const auto shade = std::make_unique<palette::Shade>();
    std::string caught;
    try {
      throw palette::Error("spilled");
    } catch (const palette::Error& error) {
      caught = error.what();
    }
    host_.log(fastmqtt::Level::info,
              palette::colour() + " " + std::to_string(palette::brightness) + " " + shade->name() +
                  " " + std::to_string(palette::Mixer<int>::mixed.size()) + " " + caught);
    return fastmqtt::Result::ok;
  }

 private:
  fastmqtt::Host host_;
};

}  // namespace

FASTMQTT_HANDLER(Paint, PAINT_NAME, "1.0", 0, "paint/" PAINT_NAME);
