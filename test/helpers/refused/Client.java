import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;

/** Sends one body with Java's own client and prints what it was told. */
public class Client {
    public static void main(String[] args) throws Exception {
        byte[] body = new byte[Integer.parseInt(args[3])];
        Arrays.fill(body, (byte) ' ');
        HttpRequest request = HttpRequest.newBuilder(URI.create(args[0]))
                .version(HttpClient.Version.HTTP_1_1)
                .header("authorization", "Bearer " + args[1])
                .header("content-type", args[2])
                .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                .build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        String wait = answer.headers().firstValue("retry-after").orElse("-");
        System.out.println(answer.statusCode() + " " + wait + " " + (answer.body().contains("\"error\"") ? "error" : "nothing"));
    }
}
