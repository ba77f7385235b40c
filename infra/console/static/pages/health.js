export const title = "Health";

export function mount(root, ctx) {
}
