using System.Net;
using System.Text.Json.Serialization;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Files;
using OpenAI.Responses;
using Xunit;
using Message = OpenAI.Chat.Message;
using ResponseMessage = OpenAI.Responses.Message;
using ResponseText = OpenAI.Responses.TextContent;

/// <summary>The scenarios of ../SCENARIOS.md with the community's OpenAI-DotNet.</summary>
public sealed class Suite
{
    private const string Model = "gpt-4o-mini";
    private const string EmbeddingModel = "text-embedding-3-small";

    private static readonly OpenAIClient Client = ClientWith(Scenario.Variable("OPENAI_API_KEY"));

    [Fact]
    public Task Models() => Scenario.Run("models", async () =>
    {
        var listed = await Client.ModelsEndpoint.GetModelsAsync();
        Assert.Contains(listed, model => model.Id == Model);
        Assert.All(listed, model =>
        {
            Assert.NotEmpty(model.Id);
            Assert.Equal("model", model.Object);
            Assert.True(model.CreatedAtUnixTimeSeconds >= 0);
        });
        Assert.Equal(Model, (await Client.ModelsEndpoint.GetModelDetailsAsync(Model)).Id);
        var error = await Assert.ThrowsAsync<HttpRequestException>(
            () => Client.ModelsEndpoint.GetModelDetailsAsync("no-such-model"));
        Assert.Equal(HttpStatusCode.NotFound, error.StatusCode);
        Assert.Equal("model_not_found", FieldOf(error, "code"));
    });

    [Fact]
    public Task Chat() => Scenario.Run("chat", async () =>
    {
        var response = await Client.ChatEndpoint.GetCompletionAsync(Asking(Model, "Say hello"));
        var choice = Assert.Single(response.Choices);
        Assert.Equal(Role.Assistant, choice.Message.Role);
        Assert.NotEmpty(choice.ToString());
        Assert.Equal("stop", choice.FinishReason);
        Assert.True(response.Usage.PromptTokens > 0 && response.Usage.CompletionTokens > 0);
        Assert.True(response.Usage.TotalTokens == response.Usage.PromptTokens + response.Usage.CompletionTokens);
    });

    [Fact]
    public Task Stream() => Scenario.Run("stream", async () =>
    {
        var (chunks, whole) = await Streamed(Asking(Model, "Say one two three"), streamUsage: true);
        var text = string.Concat(chunks.Select(TextOf));
        Assert.NotEmpty(text);
        Assert.Equal(text, whole.FirstChoice.ToString());
        Assert.Equal(new[] { "stop" }, chunks.SelectMany(ReasonsOf).ToArray());
        Assert.Empty(ChoicesOf(chunks[^1]));
        Assert.NotNull(chunks[^1].Usage);
        Assert.True(chunks[^1].Usage.TotalTokens == chunks[^1].Usage.PromptTokens + chunks[^1].Usage.CompletionTokens);
        Assert.All(chunks.SkipLast(1), chunk => Assert.Null(chunk.Usage));
        Assert.Single(chunks.Select(chunk => chunk.Id).Distinct());
    });

    private static readonly List<Tool> Offered =
    [
        new Function("get_weather", "The weather of a city", Given.WeatherSchema),
        new Function("find_flights", "Flights to a city", Given.FlightSchema),
    ];

    [Fact]
    public Task Tools() => Scenario.Run("tools", async () =>
    {
        List<Message> messages = [new Message(Role.User, "Should I fly to Lisbon this week? Use get_weather and find_flights.")];
        List<string[]> called = [];
        for (var round = 0; round < 5; round++)
        {
            // The last answer of the SDK's stream is what it put together.
            var (_, whole) = await Streamed(new ChatRequest(messages, tools: Offered, model: Model));
            var calls = whole.FirstChoice.Message.ToolCalls ?? [];
            if (calls.Count == 0)
            {
                Assert.Equal("stop", whole.FirstChoice.FinishReason);
                Assert.NotEmpty(whole.FirstChoice.ToString());
                Assert.NotEmpty(called);
                Assert.Equal(new[] { "find_flights", "get_weather" }, called[0]);
                return;
            }
            Assert.Equal("tool_calls", whole.FirstChoice.FinishReason);
            Assert.Equal(calls.Count, calls.Select(call => call.Id).Distinct().Count());
            called.Add([.. calls.Select(call => call.Function.Name).Order(StringComparer.Ordinal)]);
            messages.Add(whole.FirstChoice.Message);
            messages.AddRange(calls.Select(call => new Message(
                call, Given.AnswerTo(call.Function.Name, call.Function.Arguments.ToString()))));
        }
        Assert.Fail("the loop did not end with words");
    });

    private sealed class Ingredient
    {
        [JsonInclude, JsonPropertyName("name")] public string Name { get; private set; }
        [JsonInclude, JsonPropertyName("grams")] public double Grams { get; private set; }
    }

    private sealed class Recipe
    {
        [JsonInclude, JsonPropertyName("title")] public string Title { get; private set; }
        [JsonInclude, JsonPropertyName("vegan")] public bool Vegan { get; private set; }
        [JsonInclude, JsonPropertyName("ingredients")]
        public IReadOnlyList<Ingredient> Ingredients { get; private set; }
    }

    [Fact]
    public Task Structured() => Scenario.Run("structured", async () =>
    {
        var (recipe, _) = await Client.ChatEndpoint.GetCompletionAsync<Recipe>(Asking(Model, "A recipe for bread"));
        Assert.NotNull(recipe.Title);
        Assert.NotNull(recipe.Ingredients);
        Assert.All(recipe.Ingredients, ingredient => Assert.NotNull(ingredient.Name));
    });

    [Fact]
    public Task Embeddings() => Scenario.Run("embeddings", async () =>
    {
        var embeddings = Client.EmbeddingsEndpoint;
        string[] texts = ["The first text", "Второй текст 🌍"];
        var answer = await embeddings.CreateEmbeddingAsync(texts, EmbeddingModel);
        Assert.Equal(new[] { 0, 1 }, answer.Data.Select(item => item.Index).ToArray());
        Assert.True(answer.Usage.PromptTokens > 0);
        var few = await embeddings.CreateEmbeddingAsync(texts[0], EmbeddingModel, dimensions: 256);
        var again = await embeddings.CreateEmbeddingAsync(texts[0], EmbeddingModel);
        Expect.UnitVector(answer.Data[0].Embedding, 1536);
        Expect.UnitVector(answer.Data[1].Embedding, 1536);
        Expect.UnitVector(few.Data[0].Embedding, 256);
        Assert.NotEqual(answer.Data[0].Embedding, answer.Data[1].Embedding);
        Assert.Equal(answer.Data[0].Embedding, again.Data[0].Embedding);
    });

    [Fact]
    public Task Responses() => Scenario.Run("responses", async () =>
    {
        var response = await Client.ResponsesEndpoint.CreateModelResponseAsync(
            new CreateResponseRequest("Say hello", model: Model));
        Assert.NotEmpty(OutputTextOf(response));
        Assert.Equal(ResponseStatus.Completed, response.Status);
        Assert.True(response.Usage.InputTokens > 0 && response.Usage.OutputTokens > 0);
        Assert.True(response.Usage.TotalTokens == response.Usage.InputTokens + response.Usage.OutputTokens);
        var following = await Client.ResponsesEndpoint.CreateModelResponseAsync(
            new CreateResponseRequest("And once more", model: Model, previousResponseId: response.Id));
        Assert.NotEmpty(OutputTextOf(following));
        Assert.Equal(ResponseStatus.Completed, following.Status);
        Assert.Equal(response.Id, following.PreviousResponseId);
        Assert.NotEqual(response.Id, following.Id);
    });

    [Fact]
    public Task ResponsesStream() => Scenario.Run("responses-stream", async () =>
    {
        // The SDK hands on the names of the events and what they changed; their sequence numbers it drops.
        List<string> events = [];
        var text = "";
        var response = await Client.ResponsesEndpoint.CreateModelResponseAsync(
            new CreateResponseRequest("Say one two three", model: Model),
            (name, serverSentEvent) =>
            {
                events.Add(name);
                // The text so far, not the piece that came.
                if (name == "response.output_text.delta") text = ((ResponseText)serverSentEvent).Delta;
                return Task.CompletedTask;
            });
        Assert.Equal("response.created", events[0]);
        Assert.Equal("response.completed", events[^1]);
        Assert.DoesNotContain("error", events);
        Assert.NotEmpty(text);
        Assert.Equal(OutputTextOf(response), text);
    });

    [Fact]
    public Task Vision() => Scenario.Run("vision", async () =>
    {
        var picture = new ImageUrl($"data:image/png;base64,{Given.RedPixel}", ImageDetail.Low);
        List<Content> question = ["Which colour is this?", picture];
        var response = await Client.ChatEndpoint.GetCompletionAsync(
            new ChatRequest([new Message(Role.User, question)], model: Model));
        Assert.NotEmpty(response.FirstChoice.ToString());
    });

    [Fact]
    public Task Files() => Scenario.Run("files", async () =>
    {
        var files = Client.FilesEndpoint;
        var content = Given.FileContent();
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            var path = Path.Combine(folder.FullName, "requests.jsonl");
            await File.WriteAllBytesAsync(path, content);
            var uploaded = await files.UploadFileAsync(path, FilePurpose.Batch);
            Assert.Equal(content.Length, uploaded.Size);
            Assert.Equal("requests.jsonl", uploaded.FileName);
            Assert.Equal("batch", uploaded.Purpose);
            Assert.Contains(await files.ListFilesAsync(), file => file.Id == uploaded.Id);
            var found = await files.GetFileInfoAsync(uploaded.Id);
            Assert.Equal(content.Length, found.Size);
            using var downloaded = new MemoryStream();
            await using (var stream = await files.RetrieveFileStreamAsync(found)) await stream.CopyToAsync(downloaded);
            Assert.Equal(content, downloaded.ToArray());
            Assert.True(await files.DeleteFileAsync(uploaded.Id));
            var error = await Assert.ThrowsAsync<HttpRequestException>(() => files.GetFileInfoAsync(uploaded.Id));
            Assert.Equal(HttpStatusCode.NotFound, error.StatusCode);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    });

    [Fact]
    public Task Error400() => Scenario.Run("error-400", async () =>
    {
        var error = await FailureOf(Client, "fault-400");
        Assert.Equal(HttpStatusCode.BadRequest, error.StatusCode);
        Assert.Contains("temperature", FieldOf(error, "message"));
        Assert.Equal("invalid_value", FieldOf(error, "code"));
        Assert.Equal("temperature", FieldOf(error, "param"));
        Assert.Equal("invalid_request_error", FieldOf(error, "type"));
    });

    [Fact]
    public Task Error401() => Scenario.Run("error-401", async () =>
    {
        using var stranger = ClientWith("sk-wrong");
        var error = await FailureOf(stranger, Model);
        Assert.Equal(HttpStatusCode.Unauthorized, error.StatusCode);
        Assert.Equal("invalid_api_key", FieldOf(error, "code"));
    });

    [Fact]
    public Task Error404() => Scenario.Run("error-404", async () =>
    {
        var error = await FailureOf(Client, "no-such-model");
        Assert.Equal(HttpStatusCode.NotFound, error.StatusCode);
        Assert.Equal("model_not_found", FieldOf(error, "code"));
    });

    [Fact]
    public Task Error429() =>
        Scenario.Run("error-429", () => AssertOneCall("fault-429", HttpStatusCode.TooManyRequests));

    [Fact]
    public Task Error500() =>
        Scenario.Run("error-500", () => AssertOneCall("fault-500", HttpStatusCode.InternalServerError));

    [Fact]
    public Task ErrorMidStream() => Scenario.Run("error-mid-stream", async () =>
    {
        List<ChatResponse> chunks = [];
        var failed = false;
        try
        {
            await Client.ChatEndpoint.StreamCompletionAsync(
                Asking("fault-mid-stream", "Hello"), (ChatResponse chunk) => chunks.Add(chunk));
            // Last comes what it put together.
            chunks.RemoveAt(chunks.Count - 1);
        }
        catch (Exception)
        {
            failed = true;
        }
        Assert.Equal("one two", string.Concat(chunks.Select(TextOf)).Trim());
        Assert.Empty(chunks.SelectMany(ReasonsOf));
        // Of a chunk it reads what it knows, and a member named error is not among that.
        if (!failed) throw new SdkLacksException("it does not read errors within a stream of chat chunks");
    });

    [Fact]
    public Task Cancel() => Scenario.Run("cancel", async () =>
    {
        var before = await Scenario.Count("slow-stream", "cancelled");
        var deltas = 0;
        await foreach (var chunk in Client.ChatEndpoint.StreamCompletionEnumerableAsync(Asking("slow-stream", "Hello")))
        {
            if (TextOf(chunk) != "") deltas++;
            if (deltas == 3) break;
        }
        Assert.Equal(3, deltas);
        await Expect.Stopped("slow-stream", before);
    });

    [Fact]
    public Task LongPrompt() => Scenario.Run("long-prompt", async () =>
    {
        Message[] messages = [new Message(Role.User, Given.LongText()), new Message(Role.User, "Say nothing")];
        var response = await Client.ChatEndpoint.GetCompletionAsync(new ChatRequest(messages, model: Model));
        Assert.NotEmpty(response.FirstChoice.ToString());
        Assert.True(response.Usage.PromptTokens >= 10_000, $"{response.Usage.PromptTokens} prompt tokens");
    });

    /// <summary>The SDK takes the origin, and appends the version itself.</summary>
    private static OpenAIClient ClientWith(string apiKey)
    {
        var origin = new Uri(Scenario.Variable("OPENAI_BASE_URL")).GetLeftPart(UriPartial.Authority);
        return new OpenAIClient(new OpenAIAuthentication(apiKey), new OpenAISettings(domain: origin));
    }

    private static ChatRequest Asking(string model, string text) =>
        new([new Message(Role.User, text)], model: model);

    /// <summary>The chunks, and what the SDK put together of them.</summary>
    private static async Task<(List<ChatResponse> Chunks, ChatResponse Whole)> Streamed(
        ChatRequest request, bool streamUsage = false)
    {
        List<ChatResponse> all = [];
        await foreach (var response in Client.ChatEndpoint.StreamCompletionEnumerableAsync(request, streamUsage))
        {
            all.Add(response);
        }
        return (all.SkipLast(1).ToList(), all[^1]);
    }

    private static IReadOnlyList<Choice> ChoicesOf(ChatResponse response) => response.Choices ?? [];

    private static string TextOf(ChatResponse chunk) =>
        string.Concat(ChoicesOf(chunk).Select(choice => choice.Delta?.Content));

    private static IEnumerable<string> ReasonsOf(ChatResponse chunk) =>
        ChoicesOf(chunk).Select(choice => choice.FinishReason).Where(reason => !string.IsNullOrEmpty(reason));

    private static string OutputTextOf(Response response) => string.Concat(
        response.Output
            .OfType<ResponseMessage>()
            .SelectMany(item => item.Content)
            .OfType<ResponseText>()
            .Select(part => part.Text));

    private static Task<HttpRequestException> FailureOf(OpenAIClient client, string model) =>
        Assert.ThrowsAsync<HttpRequestException>(() => client.ChatEndpoint.GetCompletionAsync(Asking(model, "Hello")));

    /// <summary>The SDK puts the whole answer into the message of its exception.</summary>
    private static string FieldOf(HttpRequestException error, string name) =>
        Expect.ErrorField(error.Message[error.Message.IndexOf('{')..], name);

    /// <summary>The SDK repeats nothing by itself.</summary>
    private static Task AssertOneCall(string model, HttpStatusCode status) => Expect.Calls(model, 1, async () =>
        Assert.Equal(status, (await FailureOf(Client, model)).StatusCode));
}
