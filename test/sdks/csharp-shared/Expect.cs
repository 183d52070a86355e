using System.Text.Json;
using Xunit;

/// <summary>What every suite checks, whatever the SDK.</summary>
internal static class Expect
{
    public static void UnitVector(IReadOnlyList<double> vector, int dimension)
    {
        Assert.Equal(dimension, vector.Count);
        Assert.Equal(1, Math.Sqrt(vector.Sum(number => number * number)), tolerance: 1e-3);
    }

    /// <summary>Asking reaches the upstream of the model as often as that.</summary>
    public static async Task Calls(string model, int expected, Func<Task> ask)
    {
        var before = await Scenario.Count(model, "calls");
        await ask();
        Assert.Equal(expected, await Scenario.Count(model, "calls") - before);
    }

    /// <summary>Within 5 s more work of the upstream has been stopped than before.</summary>
    public static async Task Stopped(string model, int before)
    {
        var deadline = DateTime.UtcNow.AddSeconds(5);
        while (await Scenario.Count(model, "cancelled") == before)
        {
            Assert.True(DateTime.UtcNow < deadline, "not cancelled within 5 s");
            await Task.Delay(50);
        }
    }

    /// <summary>A field of the error in the body of an answer.</summary>
    public static string ErrorField(string json, string name)
    {
        using var body = JsonDocument.Parse(json);
        return body.RootElement.GetProperty("error").GetProperty(name).GetString();
    }
}
