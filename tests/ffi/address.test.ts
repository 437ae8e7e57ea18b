import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { C } from "../../ffi/abi.ts";
import {
  decodeAddress,
  encodeNumeric,
  encodePath,
  interfaceIndex,
  type InternetAddress,
  resolveName,
  toIpv6,
} from "../../ffi/address.ts";
import { openSystem } from "../../ffi/system.ts";

const system = openSystem();

/** There and back. */
function roundTrip(hostname: string, port: number) {
  const { bytes } = encodeNumeric(system, hostname, port)!;
  return decodeAddress(system, bytes, bytes.length);
}

test("numeric addresses survive there and back", () => {
  for (const hostname of ["0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1", "ff02::fb"]) {
    for (const port of [0, 1, 65_535]) assertEquals(roundTrip(hostname, port), { hostname, port });
  }
});

test("the interface of a link-local address is kept", () => {
  assert(interfaceIndex(system, "lo") > 0);
  assertEquals(interfaceIndex(system, "no-such-interface"), 0);
  assertEquals(roundTrip("fe80::1%lo", 80), { hostname: "fe80::1%lo", port: 80 });
  assertEquals(roundTrip(`fe80::1%${interfaceIndex(system, "lo")}`, 80), { hostname: "fe80::1%lo", port: 80 });
});

test("names and rubbish are not numeric", () => {
  for (
    const hostname of ["localhost", "1.2.3", "256.1.1.1", "1.2.3.4.5", ":::", "g::1", "", " 1.2.3.4", "1.2.3.4%lo"]
  ) {
    assertEquals(encodeNumeric(system, hostname, 1), undefined, hostname);
  }
});

test("IPv4 in IPv6 comes out as IPv4", () => {
  const mapped = toIpv6(encodeNumeric(system, "10.1.2.3", 4567)!);
  assertEquals(mapped.family, C.AF_INET6);
  assertEquals(mapped.bytes.length, 28);
  assertEquals(decodeAddress(system, mapped.bytes, mapped.bytes.length), { hostname: "10.1.2.3", port: 4567 });
  const v6 = encodeNumeric(system, "2001:db8::2", 1)!;
  assertEquals(toIpv6(v6), v6);
});

test("paths, abstract ones and ones that are too long", () => {
  const back = (path: string) => {
    const { bytes } = encodePath(path)!;
    return decodeAddress(system, bytes, bytes.length);
  };
  assertEquals(back("/run/a socket"), { path: "/run/a socket" });
  assertEquals(back("\0abstract"), { path: "\0abstract" });
  assertEquals(back("/" + "x".repeat(106)), { path: "/" + "x".repeat(106) });
  assertEquals(encodePath("/" + "x".repeat(107)), undefined);
  assertEquals(encodePath("\0" + "x".repeat(107))!.bytes.length, 110);
  assertEquals(encodePath("\0" + "x".repeat(108)), undefined);
  assertEquals(decodeAddress(system, new Uint8Array([C.AF_UNIX, 0, 7]), 2), { path: "" }, "an unnamed socket");
});

test("localhost resolves to loopback, and a name that cannot be to an error number", async () => {
  const found = await resolveName(system, "localhost", 8080);
  if (typeof found === "number") throw new Error(`getaddrinfo answered ${found}`);
  assert(found.length > 0);
  for (const { bytes } of found) {
    const { hostname, port } = decodeAddress(system, bytes, bytes.length) as InternetAddress;
    assertEquals(port, 8080);
    assert(["127.0.0.1", "::1"].includes(hostname), hostname);
  }
  const missing = await resolveName(system, "no-such-host.invalid", 1);
  assert(typeof missing === "number" && missing < 0);
});
