/**
 * The calendar of the MC146818: how its ten time and alarm bytes say a time, in BCD or binary, with 12 or 24 hours
 * (data sheet, table 3), and when an alarm comes next. Years have four digits, the upper two in CMOS RAM, as on a PC.
 */

export interface TimeFormat {
  /** Binary, else BCD. */
  readonly isBinary: boolean;
  /** 24 hours, else 12 with the top bit for PM. */
  readonly is24Hours: boolean;
}

/** The bytes of a time as they are in the registers. */
export interface TimeBytes {
  seconds: number;
  minutes: number;
  hours: number;
  /** 1 to 7, Sunday is 1. */
  dayOfWeek: number;
  dayOfMonth: number;
  month: number;
  year: number;
  century: number;
}

const SECONDS_PER_DAY = 86_400;
const PM = 0x80;

/** @param unixSeconds since 1970-01-01T00:00:00Z, a whole number */
export function encodeTime(unixSeconds: number, format: TimeFormat): TimeBytes {
  const date = new Date(unixSeconds * 1000);
  const year = date.getUTCFullYear();
  const put = (value: number): number => encodeByte(value, format);
  return {
    seconds: put(date.getUTCSeconds()),
    minutes: put(date.getUTCMinutes()),
    hours: encodeHour(date.getUTCHours(), format),
    dayOfWeek: date.getUTCDay() + 1,
    dayOfMonth: put(date.getUTCDate()),
    month: put(date.getUTCMonth() + 1),
    year: put(year % 100),
    century: put(Math.floor(year / 100)),
  };
}

/** Seconds since 1970. What no calendar has, such as a 31st of June, is the day that comes so long after. */
export function decodeTime(bytes: TimeBytes, format: TimeFormat): number {
  const get = (value: number): number => decodeByte(value, format);
  const date = new Date(0);
  date.setUTCFullYear(
    100 * get(bytes.century) + get(bytes.year),
    get(bytes.month) - 1,
    get(bytes.dayOfMonth),
  );
  date.setUTCHours(decodeHour(bytes.hours, format), get(bytes.minutes), get(bytes.seconds));
  return date.getTime() / 1000;
}

export interface AlarmBytes {
  readonly seconds: number;
  readonly minutes: number;
  readonly hours: number;
}

/**
 * The first time after `unixSeconds` at which the alarm matches; undefined: never. Bytes with both upper bits set match
 * anything; what is no time of day never comes.
 */
export function nextAlarm(unixSeconds: number, alarm: AlarmBytes, format: TimeFormat): number | undefined {
  const seconds = matches(alarm.seconds, decodeByte(alarm.seconds, format), 60);
  const minutes = matches(alarm.minutes, decodeByte(alarm.minutes, format), 60);
  const hours = matches(alarm.hours, decodeHour(alarm.hours, format), 24);
  if (seconds.length === 0 || minutes.length === 0 || hours.length === 0) return undefined;
  const first = unixSeconds + 1;
  const midnight = Math.floor(first / SECONDS_PER_DAY) * SECONDS_PER_DAY;
  const ofDay = first - midnight;
  const [hour, minute, second] = [Math.floor(ofDay / 3600), Math.floor(ofDay / 60) % 60, ofDay % 60];
  const sameMinute = seconds.find((s) => s >= second);
  if (hours.includes(hour)) {
    if (minutes.includes(minute) && sameMinute !== undefined) {
      return midnight + 3600 * hour + 60 * minute + sameMinute;
    }
    const later = minutes.find((m) => m > minute);
    if (later !== undefined) return midnight + 3600 * hour + 60 * later + seconds[0]!;
  }
  const laterHour = hours.find((h) => h > hour) ?? hours[0]! + 24;
  return midnight + 3600 * laterHour + 60 * minutes[0]! + seconds[0]!;
}

/** The values that an alarm byte stands for, ascending. */
function matches(byte: number, value: number, count: number): readonly number[] {
  if (byte >= 0xc0) return Array.from({ length: count }, (_, i) => i);
  return value < count ? [value] : [];
}

function encodeByte(value: number, { isBinary }: TimeFormat): number {
  return isBinary ? value & 0xff : ((Math.floor(value / 10) << 4) | (value % 10)) & 0xff;
}

function decodeByte(byte: number, { isBinary }: TimeFormat): number {
  return isBinary ? byte : 10 * (byte >> 4) + (byte & 0x0f);
}

function encodeHour(hour: number, format: TimeFormat): number {
  if (format.is24Hours) return encodeByte(hour, format);
  return encodeByte(hour % 12 === 0 ? 12 : hour % 12, format) | (hour >= 12 ? PM : 0);
}

function decodeHour(byte: number, format: TimeFormat): number {
  if (format.is24Hours) return decodeByte(byte, format);
  const hour = decodeByte(byte & ~PM, format);
  return (hour % 12) + ((byte & PM) !== 0 ? 12 : 0);
}
