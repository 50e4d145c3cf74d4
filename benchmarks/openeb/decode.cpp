// Decodes a file of bare words with OpenEB's decoders: decode VERSION WIDTH HEIGHT WORDS EVENTS. Events are written as four
// 64-bit numbers each: x, y, t, p. VERSION is 2, 2.1, 2.1-legacy or 3. How it is built is in benchmarks/openeb/__main__.py.

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "metavision/hal/decoders/evt2/evt2_decoder.h"
#include "metavision/hal/decoders/evt21/evt21_decoder.h"
#include "metavision/hal/decoders/evt3/evt3_decoder.h"
#include "metavision/sdk/base/events/event_cd.h"

using namespace Metavision;

int main(int count, char **words) {
    if (count != 6) {
        return 2;
    }
    const std::string version = words[1];
    std::ifstream in(words[4], std::ios::binary);
    const std::vector<uint8_t> body((std::istreambuf_iterator<char>(in)), {});
    std::ofstream out(words[5], std::ios::binary);

    auto cd = std::make_shared<I_EventDecoder<EventCD>>();
    auto triggers = std::make_shared<I_EventDecoder<EventExtTrigger>>();
    auto counters = std::make_shared<I_EventDecoder<EventERCCounter>>();
    auto monitoring = std::make_shared<I_EventDecoder<EventMonitoring>>();
    cd->add_event_buffer_callback([&](const EventCD *event, const EventCD *end) {
        for (; event != end; ++event) {
            const int64_t row[4] = {event->x, event->y, event->t, event->p};
            out.write(reinterpret_cast<const char *>(row), sizeof row);
        }
    });
    std::unique_ptr<I_EventsStreamDecoder> decoder;
    if (version == "2") {
        decoder = std::make_unique<EVT2Decoder>(false, cd, triggers, counters, monitoring);
    } else if (version == "2.1") {
        decoder = std::make_unique<EVT21Decoder>(false, cd, triggers, counters, monitoring);
    } else if (version == "2.1-legacy") {
        decoder = std::make_unique<EVT21LegacyDecoder>(false, cd, triggers, counters, monitoring);
    } else {
        decoder = make_evt3_decoder(false, std::atoi(words[3]), std::atoi(words[2]), cd, triggers, counters, monitoring);
    }
    decoder->decode(body.data(), body.data() + body.size());
    return out.good() ? 0 : 1;
}
