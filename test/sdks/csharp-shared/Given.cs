using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Xunit;

/// <summary>What every suite sends, and what its tools answer.</summary>
internal static class Given
{
    public const string RedPixel =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

    public const string WeatherSchema = """
        {
          "type": "object",
          "properties": {
            "city": { "type": "string" },
            "unit": { "type": "string", "enum": ["celsius", "fahrenheit"] }
          },
          "required": ["city", "unit"],
          "additionalProperties": false
        }
        """;

    public const string FlightSchema = """
        {
          "type": "object",
          "properties": {
            "destination": { "type": "string" },
            "passengers": { "type": "integer" },
            "direct": { "type": "boolean" }
          },
          "required": ["destination", "passengers", "direct"],
          "additionalProperties": false
        }
        """;

    public static readonly JsonSerializerOptions Strict = new()
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    };

    private sealed record WeatherQuestion
    {
        [JsonPropertyName("city")] public required string City { get; init; }
        [JsonPropertyName("unit")] public required string Unit { get; init; }
    }

    private sealed record FlightQuestion
    {
        [JsonPropertyName("destination")] public required string Destination { get; init; }
        [JsonPropertyName("passengers")] public required int Passengers { get; init; }
        [JsonPropertyName("direct")] public required bool Direct { get; init; }
    }

    /// <summary>What the tool answers to arguments that satisfy its schema.</summary>
    public static string AnswerTo(string tool, string arguments)
    {
        switch (tool)
        {
            case "get_weather":
                var weather = JsonSerializer.Deserialize<WeatherQuestion>(arguments, Strict);
                Assert.Contains(weather.Unit, new[] { "celsius", "fahrenheit" });
                return """{"forecast":"sunny"}""";
            case "find_flights":
                Assert.NotNull(JsonSerializer.Deserialize<FlightQuestion>(arguments, Strict));
                return """{"flight":"TP 1"}""";
            default:
                throw new InvalidOperationException($"no such tool: {tool}");
        }
    }

    public static string LongText() => UpTo100Kilobytes(
        "Съешь же ещё этих мягких французских булок. 敏捷的棕色狐狸跳过了懒狗。 🦊🌍👩‍👩‍👧‍👦\n");

    public static byte[] FileContent() => Encoding.UTF8.GetBytes(UpTo100Kilobytes(
        """{"custom_id":"привет 🌍","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini"}}""" + "\n"));

    /// <summary>The line as often as it takes to make 100 KB of UTF-8.</summary>
    private static string UpTo100Kilobytes(string line)
    {
        var bytes = Encoding.UTF8.GetByteCount(line);
        return string.Concat(Enumerable.Repeat(line, (100 * 1024 + bytes - 1) / bytes));
    }
}
