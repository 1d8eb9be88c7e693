// A stereo VST3 that holds sound back by 333 frames (and says so), multiplies it by `gain`, and
// crashes when `crash` is turned up.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "DistrhoPlugin.hpp"

START_NAMESPACE_DISTRHO

class LateGain : public Plugin {
public:
    LateGain() : Plugin(2, 0, 0) {
        for (auto& line : lines) line.assign(LATE, 0.f);
        setLatency(LATE);
    }

protected:
    const char* getLabel() const override { return "LateGain"; }
    const char* getMaker() const override { return "Test"; }
    const char* getLicense() const override { return "GPL-3.0-or-later"; }
    uint32_t getVersion() const override { return d_version(1, 0, 0); }
    int64_t getUniqueId() const override { return d_cconst('L', 'G', 'a', 'i'); }

    void initParameter(uint32_t index, Parameter& p) override {
        p.hints = kParameterIsAutomatable;
        p.name = index == 0 ? "Gain" : "Crash";
        p.symbol = index == 0 ? "gain" : "crash";
        p.ranges.min = 0.f;
        p.ranges.max = index == 0 ? 4.f : 1.f;
        p.ranges.def = index == 0 ? 1.f : 0.f;
    }
    float getParameterValue(uint32_t index) const override { return values[index]; }
    void setParameterValue(uint32_t index, float value) override { values[index] = value; }
    void activate() override {
        for (auto& line : lines) std::fill(line.begin(), line.end(), 0.f);
        at = 0;
    }
    void run(const float** in, float** out, uint32_t frames) override {
        if (values[1] > 0.5f) std::abort();
        for (uint32_t i = 0; i < frames; ++i, at = (at + 1) % LATE)
            for (int c = 0; c < 2; ++c) {
                const float sample = in[c][i];
                out[c][i] = values[0] * lines[c][at];
                lines[c][at] = sample;
            }
    }

private:
    static const int LATE = 333;
    std::vector<float> lines[2];
    float values[2] = {1.f, 0.f};
    int at = 0;
};

Plugin* createPlugin() { return new LateGain(); }

END_NAMESPACE_DISTRHO
