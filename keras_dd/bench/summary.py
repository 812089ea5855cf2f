"""Measurements as rows, and as lines of text."""

import math
import statistics


def pair(name, title, first, other, found):
    """Two ways of one work, round by round."""
    rates = {"first": found[first]["images_per_second"], "second": found[other]["images_per_second"]}
    ratio = [a / b for a, b in zip(*rates.values(), strict=True)]
    what = f"{title}: {first} / {other}"
    return {
        "name": name,
        "what": what,
        "unit": "images/s",
        **rates,
        "ratio": ratio,
        "median_ratio": statistics.median(ratio),
    }


def comparison(found, left_out, pairs):
    """Lines: each way's images/s, and how many times as fast the first one is."""
    lines = []
    ratios = [None, *(pair["ratio"] for pair in pairs)]
    for (way, facts), ratio in zip(found.items(), ratios, strict=True):
        line = f"{statistics.median(facts['images_per_second']):10,.0f} images/s  {way}"
        if ratio:
            line += f": {times(statistics.median(ratio))} ({times(min(ratio))} to {times(max(ratio))})"
        if "of_ceiling" in facts:
            line += f", {statistics.median(facts['of_ceiling']):.0%} of the matrix multiplication's FLOP/s"
        lines.append(line)
    return lines + [f"{'-':>10}           {way}: {reason}" for way, reason in left_out.items()]


def peak_flops(measured):
    """The most FLOP/s of any matrix multiplication, or None."""
    found = measured.get("ceilings", {}).get("matmul_gflops", {})
    return 1e9 * max(max(rates) for rates in found.values()) if found else None


def _ceilings(facts):
    for library, rates in facts["matmul_gflops"].items():
        yield f"matrix multiplication, {library}: {max(rates):,.0f} GFLOP/s ({min(rates):,.0f} to {max(rates):,.0f})"
    for threads, rates in facts["copy_gb_per_second"].items():
        yield f"copying, threads {threads}: {max(rates):,.1f} GB/s ({min(rates):,.1f} to {max(rates):,.1f})"


def _startup(facts):
    rest = {"all of keras-dd, after tensorflow and keras": facts["seconds_after_tensorflow"]}
    for command, seconds in (facts["seconds"] | rest).items():
        yield f"{command}: {statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"


def _composition(facts):
    seconds, mib = facts["seconds"], facts["mib"]
    yield f"ResNet-{facts['depth']}, width {facts['width']}, {facts['parameters']:,} weights, {facts['parts']} parts:"
    yield "  " + ", ".join(f"{what} {value:.1f} s" for what, value in seconds.items())
    if mib["peak"]:
        yield f"  memory {mib['before']:,.0f} MiB before, {mib['built']:,.0f} built, {mib['peak']:,.0f} at the peak"


SINGLE = {"ceilings": _ceilings, "startup": _startup, "composition": _composition}


def times(ratio):
    """A ratio in three digits: "0.87x", "1.85x", "30x"."""
    return f"{ratio:.{max(0, 2 - int(math.log10(max(ratio, 1))))}f}x"
