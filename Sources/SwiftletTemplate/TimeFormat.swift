// Python's `datetime.strftime` in the C locale, for a time without a zone.
// Invariant: a directive that is not known stays in the text as it is.

enum TimeFormat {
    private static let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November", "December",
    ]

    static func text(_ time: LocalTime, _ format: [UInt8], limit: Int) throws(TemplateError) -> Text {
        var result: [UInt8] = []
        var position = 0
        while position < format.count {
            guard format[position] == UInt8(ascii: "%"), position + 1 < format.count else {
                result.append(format[position])
                position += 1
                continue
            }
            var end = position + 1
            // GNU's flags: no padding, spaces, zeros, upper case, swapped case.
            while end < format.count - 1, "-_0^#".utf8.contains(format[end]) { end += 1 }
            let flags = format[(position + 1)..<end]
            if let text = directive(time, format[end]) {
                result += flagged(text, flags, format[end]).utf8
            } else {
                result += format[position...end]
            }
            position = end + 1
            if result.count > limit { throw .limit("the date is longer than the limit of \(limit) bytes") }
        }
        return Text(utf8: result)
    }

    private static func flagged(_ text: String, _ flags: ArraySlice<UInt8>, _ letter: UInt8) -> String {
        var text = text
        for flag in flags {
            switch flag {
            case UInt8(ascii: "-"): text = unpadded(text)
            case UInt8(ascii: "_"):
                let short = unpadded(text)
                text = String(repeating: " ", count: text.count - short.count) + short
            case UInt8(ascii: "0"): text = String(text.map { $0 == " " ? "0" : $0 })
            case UInt8(ascii: "^"): text = text.uppercased()
            default: text = letter == UInt8(ascii: "p") ? text.lowercased() : text.uppercased()
            }
        }
        return text
    }

    /// A number without the zeros or spaces in front.
    private static func unpadded(_ text: String) -> String {
        guard text.allSatisfy({ $0.isNumber || $0 == " " }) else { return text }
        let digits = text.drop { $0 == "0" || $0 == " " }
        return digits.isEmpty ? "0" : String(digits)
    }

    private static func padded(_ value: Int, _ width: Int = 2, _ fill: Character = "0") -> String {
        let digits = String(value)
        return String(repeating: fill, count: max(0, width - digits.count)) + digits
    }

    /// Nil for a letter that stands for nothing.
    private static func directive(_ time: LocalTime, _ letter: UInt8) -> String? {
        let day = days[time.weekday]
        let month = months[time.month - 1]
        let hour12 = time.hour % 12 == 0 ? 12 : time.hour % 12
        let clock = "\(padded(time.hour)):\(padded(time.minute)):\(padded(time.second))"
        switch Character(Unicode.Scalar(letter)) {
        case "a": return String(day.prefix(3))
        case "A": return day
        case "b", "h": return String(month.prefix(3))
        case "B": return month
        case "c": return "\(day.prefix(3)) \(month.prefix(3)) \(padded(time.day, 2, " ")) \(clock) \(time.year)"
        case "C": return padded(time.year / 100)
        case "d": return padded(time.day)
        case "D", "x": return "\(padded(time.month))/\(padded(time.day))/\(padded(time.year % 100))"
        case "e": return padded(time.day, 2, " ")
        case "f": return padded(time.microsecond, 6)
        case "F": return "\(time.year)-\(padded(time.month))-\(padded(time.day))"
        case "g": return padded(time.isoWeek.year % 100)
        case "G": return String(time.isoWeek.year)
        case "H": return padded(time.hour)
        case "I": return padded(hour12)
        case "j": return padded(time.dayOfYear, 3)
        case "k": return padded(time.hour, 2, " ")
        case "l": return padded(hour12, 2, " ")
        case "m": return padded(time.month)
        case "M": return padded(time.minute)
        case "n": return "\n"
        case "p": return time.hour < 12 ? "AM" : "PM"
        case "P": return time.hour < 12 ? "am" : "pm"
        case "r":
            return "\(padded(hour12)):\(padded(time.minute)):\(padded(time.second)) \(time.hour < 12 ? "AM" : "PM")"
        case "R": return "\(padded(time.hour)):\(padded(time.minute))"
        case "s": return String(time.secondsSince1970)
        case "S": return padded(time.second)
        case "t": return "\t"
        case "T", "X": return clock
        case "u": return String(time.weekday + 1)
        case "U": return padded((time.dayOfYear + 6 - (time.weekday + 1) % 7) / 7)
        case "V": return padded(time.isoWeek.week)
        case "w": return String((time.weekday + 1) % 7)
        case "W": return padded((time.dayOfYear + 6 - time.weekday) / 7)
        case "y": return padded(time.year % 100)
        case "Y": return String(time.year)
        case "z", "Z": return ""
        case "%": return "%"
        default: return nil
        }
    }
}
