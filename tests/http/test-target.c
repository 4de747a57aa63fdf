/* Addresses of servers as people write them. */
#include "http/client.h"
#include "test.h"

static void check(const char *url, bool tls, const char *socket, const char *host, int port,
		  const char *base)
{
	HttpTarget t;
	Err err = ERR_INIT;
	if (httptarget_parse(url, &t, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", url, err.msg);
	CHECK_INT(t.tls, tls);
	CHECK((t.socket != NULL) == (socket != NULL));
	if (socket)
		CHECK_STR(t.socket, socket);
	CHECK_STR(t.host, host);
	CHECK_INT(t.port, port);
	CHECK_STR(t.base, base);
	httptarget_done(&t);
}

TEST(addresses)
{
	check("http://127.0.0.1:8000", false, NULL, "127.0.0.1", 8000, "");
	check("http://localhost", false, NULL, "localhost", 80, "");
	check("https://gpu-box.example.org/v1/", true, NULL, "gpu-box.example.org", 443, "/v1");
	check("http://[::1]:11434/a/b//", false, NULL, "::1", 11434, "/a/b");
	check("https://[fe80::1]", true, NULL, "fe80::1", 443, "");
	check("unix:/run/x.sock", false, "/run/x.sock", "localhost", 0, "");
	check("unix:/run/x.sock:/v1", false, "/run/x.sock", "localhost", 0, "/v1");
	check("unix:x.sock", false, "x.sock", "localhost", 0, "");
}

TEST(what_is_no_address)
{
	static const char *const wrong[] = {
	    "",
	    "127.0.0.1:8000",
	    "ftp://x",
	    "http://",
	    "http://:80",
	    "http:///path",
	    "http://x:0",
	    "http://x:65536",
	    "http://x:99999999999999999999",
	    "http://x:80x",
	    "http://x:",
	    "http://user@x",
	    "http://x y",
	    "http://x\r\nHost: y",
	    "http://[::1",
	    "http://[::1]80",
	    "http://x/?query",
	    "http://x?query",
	    "http://user:hunter2@x/",
	    "http://user@x:80",
	    "http://x/#part",
	    "http://\xc3\xa4",
	    "unix:",
	    "unix::/v1",
	    "unix:/x:v1",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		HttpTarget t = {.port = 7};
		Err err = ERR_INIT;
		if (httptarget_parse(wrong[i], &t, &err) != -EINVAL || err.msg[0] == '\0')
			test_fail(__FILE__, __LINE__, "'%s' was taken", wrong[i]);
		CHECK_INT(t.port, 7); /* untouched */
		/* What may be a secret is not repeated. */
		CHECK(!strstr(err.msg, "hunter2"));
		CHECK(!strstr(err.msg, "query=") && !strstr(err.msg, "?query"));
	}
	char long_path[200] = "unix:/";
	memset(long_path + 6, 'x', 150);
	HttpTarget t;
	CHECK_ERR(httptarget_parse(long_path, &t, NULL), EINVAL);
}

TEST(faults_have_names)
{
	for (int f = 0; f < HTTP_FAULT_MAX_; f++)
		CHECK(http_fault_name((HttpFault)f)[0]);
	CHECK_STR(http_fault_name(HTTP_FAULT_MAX_), "unknown");
}
