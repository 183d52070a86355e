using System.Text.Json;

/// <summary>Runs a scenario of ../SCENARIOS.md within its deadline and reports how it ended.</summary>
internal static class Scenario
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private static readonly HttpClient Http = new();

    public static async Task Run(string name, Func<Task> body)
    {
        try
        {
            await Task.Run(body).WaitAsync(Deadline);
            Report($"{name} ok");
        }
        catch (SdkLacksException lack)
        {
            Report($"{name} absent {lack.Message}");
        }
        catch (TimeoutException)
        {
            Report($"{name} FAILED hung for {Deadline.TotalSeconds} s");
            throw;
        }
        catch (Exception error)
        {
            Report($"{name} FAILED {error.GetType().Name}: {error.Message}");
            throw;
        }
    }

    /// <summary>How often the upstream of a model was called, or had its work stopped early.</summary>
    public static async Task<int> Count(string model, string what)
    {
        using var counts = JsonDocument.Parse(await Http.GetStringAsync(Variable("MEGALLM_COUNTS_URL")));
        return counts.RootElement.GetProperty(model).GetProperty(what).GetInt32();
    }

    public static string Variable(string name) =>
        Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");

    private static void Report(string outcome)
    {
        var line = $"SCENARIO {string.Join(' ', outcome.Split((char[])null, StringSplitOptions.RemoveEmptyEntries))}";
        if (Environment.GetEnvironmentVariable("SCENARIO_REPORT") is { Length: > 0 } path)
        {
            File.AppendAllText(path, line + "\n");
        }
        else
        {
            Console.WriteLine(line);
        }
    }
}

/// <summary>Thrown where the SDK itself has no such thing, whatever the gateway answers.</summary>
internal sealed class SdkLacksException(string what) : Exception(what);
