// LocalTime: the clock that `strftime_now` reads: a date and a time of day without a zone.
// Owned by the caller of render, who gives it; the system's clock is read only when none is given.
// Invariant: a date that exists in the calendar.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A date and a time of day.
public struct LocalTime: Sendable, Hashable {
    /// 1 ... 9999
    public let year: Int
    /// 1 ... 12
    public let month: Int
    public let day: Int
    /// 0 ... 23
    public let hour: Int
    public let minute: Int
    public let second: Int
    public let microsecond: Int

    /// Nil for a date that does not exist.
    public init?(
        year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0, microsecond: Int = 0
    ) {
        guard (1...9999).contains(year), (1...12).contains(month),
            (1...LocalTime.dayCount(year, month)).contains(day), (0...23).contains(hour), (0...59).contains(minute),
            (0...59).contains(second), (0...999_999).contains(microsecond)
        else { return nil }
        self.year = year
        self.month = month
        self.day = day
        self.hour = hour
        self.minute = minute
        self.second = second
        self.microsecond = microsecond
    }

    /// Reads `2025-03-07`, `2025-03-07T14:05:09` or `2025-03-07 14:05:09.123456`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(whereSeparator: { $0 == "T" || $0 == " " })
        guard (1...2).contains(parts.count) else { return nil }
        func numbers(_ part: Substring, _ separator: Character, _ widths: [Int]) -> [Int]? {
            let fields = part.split(separator: separator, omittingEmptySubsequences: false)
            guard fields.map(\.utf8.count) == widths else { return nil }
            let values = fields.compactMap { $0.utf8.allSatisfy { $0 &- 0x30 < 10 } ? Int($0) : nil }
            return values.count == widths.count ? values : nil
        }
        guard let date = numbers(parts[0], "-", [4, 2, 2]) else { return nil }
        var time = [0, 0, 0]
        var microsecond = 0
        if parts.count == 2 {
            let clock = parts[1].split(separator: ".", omittingEmptySubsequences: false)
            guard clock.count <= 2, let found = numbers(clock[0], ":", [2, 2, 2]) else { return nil }
            time = found
            if clock.count == 2 {
                guard (1...6).contains(clock[1].utf8.count), clock[1].utf8.allSatisfy({ $0 &- 0x30 < 10 }) else {
                    return nil
                }
                microsecond = Int(clock[1] + String(repeating: "0", count: 6 - clock[1].utf8.count)) ?? 0
            }
        }
        self.init(
            year: date[0], month: date[1], day: date[2], hour: time[0], minute: time[1], second: time[2],
            microsecond: microsecond)
    }

    /// The system's clock in the system's time zone.
    public static func now() throws(TemplateError) -> LocalTime {
        var clock = timespec()
        var fields = tm()
        guard clock_gettime(CLOCK_REALTIME, &clock) == 0, localtime_r(&clock.tv_sec, &fields) != nil,
            let time = LocalTime(
                year: Int(fields.tm_year) + 1900, month: Int(fields.tm_mon) + 1, day: Int(fields.tm_mday),
                hour: Int(fields.tm_hour), minute: Int(fields.tm_min), second: min(59, Int(fields.tm_sec)),
                microsecond: Int(clock.tv_nsec) / 1000)
        else { throw TemplateError(.invalidInput, "the system's clock can't be read; give a time to render with") }
        return time
    }

    static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    static func dayCount(_ year: Int, _ month: Int) -> Int {
        month == 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    /// From 1.
    var dayOfYear: Int { (1..<month).reduce(day) { $0 + LocalTime.dayCount(year, $1) } }

    /// Days since the first day of year 1, which was a Monday.
    private var ordinal: Int {
        let before = year - 1
        return before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear - 1
    }

    /// 0 is Monday.
    var weekday: Int { ordinal % 7 }

    /// Seconds since 1970, taking the time as UTC.
    var secondsSince1970: Int { (ordinal - 719_162) * 86_400 + hour * 3600 + minute * 60 + second }

    /// Year and week by ISO 8601.
    var isoWeek: (year: Int, week: Int) {
        let week = (dayOfYear - weekday + 9) / 7
        if week < 1 { return (year - 1, LocalTime.isoWeekCount(year - 1)) }
        if week > LocalTime.isoWeekCount(year) { return (year + 1, 1) }
        return (year, week)
    }

    private static func isoWeekCount(_ year: Int) -> Int {
        func lastWeekday(_ year: Int) -> Int { (year + year / 4 - year / 100 + year / 400) % 7 }
        return lastWeekday(year) == 4 || lastWeekday(year - 1) == 3 ? 53 : 52
    }
}
