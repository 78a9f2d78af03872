#if Server
// ServedLoad: what is asked of a server, and the lists of it that a sweep goes through.
// Invariant: rates are above 0, counts are 1 or more.

import ArgumentParser

/// What is asked of a server: how many requests a second, and how many at a time.
package struct ServedLoad: Sendable, Hashable {
    /// Requests a second; infinity has them come all at once.
    package var rate = Double.infinity
    /// Requests that run at a time; nil is all that are due.
    package var concurrency: Int?
    package var burstiness = 1.0

    package init(rate: Double = .infinity, concurrency: Int? = nil, burstiness: Double = 1) {
        self.rate = rate
        self.concurrency = concurrency
        self.burstiness = burstiness
    }

    /// `4 requests/s`, `16 at a time`, `all at once`.
    package var description: String {
        let limit = concurrency.map { "\($0) at a time" }
        guard rate.isFinite else { return limit ?? "all at once" }
        return "\(Format.number(rate)) requests/s" + (limit.map { ", at most " + $0 } ?? "")
    }
}

/// Requests a second, separated by commas: `1,2.5,inf`.
package struct RateList: ExpressibleByArgument, Sendable, Hashable {
    package var rates: [Double]

    package init?(argument: String) {
        rates = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let rate = Double(part), rate > 0, rate <= 1e6 || rate == .infinity else { return nil }
            rates.append(rate)
        }
    }

    package var defaultValueDescription: String { rates.map { $0.isFinite ? "\($0)" : "inf" }.joined(separator: ",") }
}

/// Counts, separated by commas: `1,4,16`.
package struct CountList: ExpressibleByArgument, Sendable, Hashable {
    package var counts: [Int]

    package init?(argument: String) {
        counts = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let count = Int(part), (1...100_000).contains(count) else { return nil }
            counts.append(count)
        }
    }
}

/// Percentiles, separated by commas: `50,99,99.9`.
package struct PercentileList: ExpressibleByArgument, Sendable, Hashable {
    package var percents: [Double]

    package init(_ percents: [Double]) { self.percents = percents }

    package init?(argument: String) {
        percents = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let percent = Double(part), (0...100).contains(percent) else { return nil }
            percents.append(percent)
        }
    }

    package var defaultValueDescription: String { percents.map(Self.name).joined(separator: ",") }

    /// `99`, `99.9`.
    package static func name(_ percent: Double) -> String {
        Int(exactly: percent).map { String($0) } ?? "\(percent)"
    }
}

/// Metrics, separated by commas: `ttft,itl`.
package struct MetricList: ExpressibleByArgument, Sendable, Hashable {
    package var metrics: [ServedMetric]

    package init(_ metrics: [ServedMetric]) { self.metrics = metrics }

    package init?(argument: String) {
        metrics = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let metric = ServedMetric(rawValue: String(part)), !metrics.contains(metric) else { return nil }
            metrics.append(metric)
        }
    }

    package var defaultValueDescription: String { metrics.map(\.rawValue).joined(separator: ",") }
}

/// `NAME=VALUE`, as vLLM has it, or `NAME: VALUE`, as curl has it.
package struct HeaderArgument: ExpressibleByArgument, Sendable, Hashable {
    package var name: String
    package var value: String

    package init?(argument: String) {
        guard let place = argument.firstIndex(where: { $0 == "=" || $0 == ":" }) else { return nil }
        name = String(argument[..<place])
        value = String(argument[argument.index(after: place)...].drop { $0 == " " })
        let isToken = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
        guard !name.isEmpty, isToken, value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
    }
}
#endif
